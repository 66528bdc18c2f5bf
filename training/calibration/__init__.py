"""What an export chooses and measures on validation classes: head defaults, temperatures, novelty thresholds."""
