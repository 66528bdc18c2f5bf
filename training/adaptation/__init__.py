"""Adaptation of a trained network to other images, one method per file. `training.adaptation.registry` finds them."""
