"""Serving: the load on a server, and servers that hold many tasks."""
