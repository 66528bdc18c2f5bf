"""Training: the methods and scripts that are compared, how they are measured, and the report."""
