"""Accuracy: domains of pictures, their embeddings, and scores on them."""
