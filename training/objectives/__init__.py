"""Training objectives: one per file, each from embeddings or logits to a loss."""

from training.objectives.anchor import anchor_distance
from training.objectives.distillation import distillation
from training.objectives.mtl import ClassBank
from training.objectives.rotation import TURNS, Rotation, turn

__all__ = ["TURNS", "ClassBank", "Rotation", "anchor_distance", "distillation", "turn"]
