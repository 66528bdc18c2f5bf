"""A training run: batches, learner, loop and checkpoint."""
