"""The code that training and serving share: backbones, bundles and heads. Imports nothing else of this project."""
