"""Continual learning: tasks one after another, one method per file. `training.continual.registry` finds them."""
