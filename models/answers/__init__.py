"""From embeddings to answers, for a batch of images that several requests ask about."""
