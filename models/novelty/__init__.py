"""Novelty: whether a query belongs to any class of a task, and which examples it resembles most."""
