"""Importing: makes a bundle of a network made elsewhere."""
