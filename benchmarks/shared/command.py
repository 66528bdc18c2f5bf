"""Command lines and output files of the benchmarks."""

import argparse
import json
from pathlib import Path


def benchmark_parser(
    name: str, documentation: str, rounds: int | None = None, seconds: float | None = None
) -> argparse.ArgumentParser:
    """Returns the parser of `python -m benchmarks.<name>`, with `--json`.

    Args:
        documentation: the module's; its first line is the description.
        rounds, seconds: the defaults of `--rounds` and `--seconds`, for a benchmark that takes turns.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=documentation.splitlines()[0])
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help="turns of each contestant (default %(default)s)")
    if seconds is not None:
        parser.add_argument("--seconds", type=float, default=seconds, help="seconds of a turn (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    return parser


def write_json(file: Path | None, document: object) -> None:
    """Writes the figures of a run, if a file for them was asked for."""
    if file is not None:
        file.write_text(json.dumps(document, indent=1) + "\n")
