"""The HTTP service: a few labelled images in, a working classifier out, in one request. Imports `models`."""
