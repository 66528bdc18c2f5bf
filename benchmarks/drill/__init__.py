"""Parts of `python -m benchmarks.drill`: replicas behind HAProxy on PostgreSQL, what is done to them, what must hold."""
