"""Calibration: head defaults, temperatures and novelty thresholds, chosen and measured on validation classes."""
