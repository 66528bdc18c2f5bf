"""The sub-commands of `headstart-train`, one per file: each adds its parser and runs what was asked."""

from training.commands import calibrate, continuing, evaluate, export, importing, inspect, run, search

COMMANDS = (run, search, continuing, evaluate, export, importing, inspect, calibrate)

__all__ = ["COMMANDS"]
