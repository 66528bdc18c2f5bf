"""The store: tasks, examples, versions and refreshes in one SQLite database. SQL appears here only."""
