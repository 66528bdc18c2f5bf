"""The cost of a refresh of very many tasks."""
