"""Architectures of sharing: what several known tasks have in common. One file each, from images of every task to logits."""

from training.architectures.sharing import Architecture, Setting, SharedNetwork, architectures

__all__ = ["Architecture", "Setting", "SharedNetwork", "architectures"]
