"""The libraries that run backbones."""
