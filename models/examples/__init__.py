"""Examples: suspicious labels, near-duplicates and bursts."""
