"""Datasets: where the images of classes lie, how they are read, and how the classes are split."""
