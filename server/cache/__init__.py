"""Heads and support sets in memory, by task version."""
