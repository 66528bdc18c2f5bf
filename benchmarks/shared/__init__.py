"""Shared by every benchmark: command lines, timing in turns, and the bundle, images and task that they use."""
