"""The HTTP service: one request brings a few labelled images and gets a working classifier. It imports `models`."""
