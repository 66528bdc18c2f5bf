"""Training objectives: one per file, each from embeddings or logits to a loss."""

from training.objectives.anchor import anchor_distance
from training.objectives.distillation import distillation
from training.objectives.invariance import Invariance
from training.objectives.mixup import Mix, draw_mix
from training.objectives.mtl import ClassBank
from training.objectives.rotation import TURNS, Rotation, turn

__all__ = [
    "TURNS",
    "ClassBank",
    "Invariance",
    "Mix",
    "Rotation",
    "anchor_distance",
    "distillation",
    "draw_mix",
    "turn",
]
