"""Export: makes a bundle of a network."""
