"""The cost of a training step of every method of the laboratory, beside public packages and beside plain passes."""
