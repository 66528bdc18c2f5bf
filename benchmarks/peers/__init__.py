"""Other servers around the same backbone, decoder and head; each runs in an environment that holds no Headstart server."""
