"""What training minimises: one objective per file, each a module from embeddings to a loss."""

from training.objectives.mtl import ClassBank
from training.objectives.rotation import Rotation, turn

__all__ = ["ClassBank", "Rotation", "turn"]
