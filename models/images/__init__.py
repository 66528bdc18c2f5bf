"""Image bytes to pixels: the one decoder and resizer for training, evaluation and serving."""
