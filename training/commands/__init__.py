"""The sub-commands of `headstart-train`, one per file: each adds its parser and runs what was asked."""

from training.commands import evaluate, export, importing, inspect, run

COMMANDS = (run, evaluate, export, importing, inspect)

__all__ = ["COMMANDS"]
