"""The HTTP side: bodies and headers in, journeys called, replies and problems out. FastAPI appears here and in `server.app` only."""
