"""Load on a server, and servers that hold many tasks."""
