"""Faults put on purpose: hostile files, slow clients, a failing disk. Slow, so only `pytest -m slow` runs them."""
