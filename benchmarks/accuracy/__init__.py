"""Accuracy: domains of pictures, their embeddings, and scores that are kept."""
