"""Heads: the last layer of a task, how it is fitted, calibrated, checked and applied."""
