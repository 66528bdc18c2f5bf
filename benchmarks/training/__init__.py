"""Training: the methods that are compared, their measurement and its report."""
