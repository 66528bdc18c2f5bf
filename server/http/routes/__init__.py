"""The HTTP API, version 1: from requests to the journeys and back. FastAPI appears here and in `server.app` only."""
