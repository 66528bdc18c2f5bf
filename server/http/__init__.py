"""The HTTP side: bodies and headers in, journeys called, replies and problems out. FastAPI is used here and in `server.app`."""
