"""Benchmarks: the evidence for the project's claims. Each module at the top is a command that prints its figures."""
