"""Refreshes: tasks moved onto another backbone in the background, and back."""
