"""Parts of `python -m benchmarks.soak`: the load, and what is read of the server's processes meanwhile."""
