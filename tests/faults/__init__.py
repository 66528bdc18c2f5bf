"""Faults put on purpose: hostile files, slow clients, a disk that fails. Slow, and left out unless asked for: `pytest -m slow`."""
