"""What can be learnt in a few minutes on a machine with a GPU? All that has no result yet, in order of worth, in one command.

    python -m benchmarks.gpu_day --minutes 25 --data part0.zip part1.zip part2.zip --out DIR

First whether the GPU answers as the CPU does (`benchmarks.gpu_answers`), then speed (`benchmarks.gpu`), then the paper's table
(`benchmarks.paper_table`), one dataset at a time. `docs/gpu.md` says how to read the results.

DIR receives `results.json`, and the newest checkpoints in pieces of 16 MB, while the work goes on. So a run that is cut off has
given something. Started again with the same DIR it goes on: answers and speed are measured again only on a changed tree, and
training resumes from its checkpoint, if need be put together from the pieces.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from benchmarks.paper_table import RECIPES
from benchmarks.server_process import ROOT
from benchmarks.shared.pieces import join_pieces, write_pieces
from training.devices import describe, pick_device
from training.run.checkpoint import FILE_NAME

_SOURCES = ("models", "server", "training", "benchmarks")
_MEASURED = "gpu_answers", "gpu"
_LEAST_SECONDS = 60.0  # that a step gets; with less left, the day is over
_LAST_SECONDS = 30.0  # of training, in which it stops and its checkpoint goes home
_LOOKS_SECONDS = 20.0  # between two looks for a new checkpoint


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 if a step failed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_day", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=25.0, help="the time there is (default %(default)s)")
    parser.add_argument("--data", nargs="+", metavar="ZIP", help="CIFAR-100 as class folders; without it nothing is trained")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives results and pieces of checkpoints")
    parser.add_argument("--work", type=Path, metavar="DIR", help="for runs and bundles (default: beside --out)")
    parser.add_argument("--device", default="auto", help="cuda, cpu, or auto: cuda where it is (default %(default)s)")
    parser.add_argument("--splits", nargs="+", choices=RECIPES, default=list(RECIPES), help="default: both")
    parser.add_argument("--generations", type=int, default=2, help="of each dataset (default %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="for every recipe, to try it all")
    arguments = parser.parse_args(argv)
    day = GpuDay(arguments.out, arguments.work or arguments.out.with_name(f"{arguments.out.name}-work"), arguments)
    return day.run(monotonic() + 60.0 * arguments.minutes)


class GpuDay:
    """The steps, and what they have found so far.

    Args:
        out: for results and pieces.
        work: for runs and bundles.
    """

    def __init__(self, out: Path, work: Path, arguments: argparse.Namespace) -> None:
        self._out = out
        self._work = work
        self._arguments = arguments
        for folder in (out, work):
            folder.mkdir(parents=True, exist_ok=True)
        self._file = out / "results.json"
        self._results: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._setting = {"tree": _tree(), "hardware": describe(pick_device(arguments.device), 1), "PyTorch": torch.__version__}

    def run(self, deadline: float) -> int:
        """Does what there is time for. Returns the exit status."""
        steps: list[tuple[str, Callable[[float], bool]]] = [(name, partial(self._measure, name)) for name in _MEASURED]
        if self._arguments.data:
            steps += [(split, partial(self._train, split)) for split in self._arguments.splits]
        failed = []
        for name, step in steps:
            if deadline - monotonic() < _LEAST_SECONDS:
                print(f"no time is left for {name}", flush=True)
            elif not step(deadline):
                failed.append(name)
        if failed:
            print(f"failed: {', '.join(failed)}", file=sys.stderr)
        return 1 if failed else 0

    def _measure(self, name: str, deadline: float) -> bool:
        """Runs a benchmark that writes JSON, unless its result is of this tree and hardware."""
        known = self._results.get(name, {})
        if known.get("setting") == self._setting:
            print(f"{name}: there is a result of this tree", flush=True)
            return bool(known["passed"])
        figures = self._work / f"{name}.json"
        figures.unlink(missing_ok=True)  # Old figures must not pass for new ones.
        command = [sys.executable, "-m", f"benchmarks.{name}", "--device", self._arguments.device, "--json", str(figures)]
        started = monotonic()
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)  # noqa: S603
        try:
            process.wait((deadline - started) / 2)  # Something must be left for training.
        except subprocess.TimeoutExpired:
            print(f"{name}: it did not end in time", file=sys.stderr)
            return False
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the servers that it may have started
            process.wait()
        if figures.exists():  # `gpu_answers` writes it, and then fails, if answers are wrong.
            passed, seconds = process.returncode == 0, round(monotonic() - started, 1)
            found = {"setting": self._setting, "passed": passed, "seconds": seconds, "figures": json.loads(figures.read_text())}
            self._note(name, found)
        return process.returncode == 0

    def _train(self, split: str, deadline: float) -> bool:
        """Goes on with one dataset's part of the paper's table until it is done or the time is over."""
        paper = self._work / split
        self._restore(paper, split)
        arguments = ["--data", *self._arguments.data, "--out", str(paper), "--splits", split]
        arguments += ["--generations", str(self._arguments.generations)]
        arguments += [part for change in self._arguments.set for part in ("--set", change)]
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.paper_table", *arguments], cwd=ROOT)  # noqa: S603
        while process.poll() is None:
            try:
                process.wait(max(0.0, min(_LOOKS_SECONDS, deadline - _LAST_SECONDS - monotonic())))
            except subprocess.TimeoutExpired:
                if monotonic() >= deadline - _LAST_SECONDS:
                    process.send_signal(signal.SIGINT)  # It writes its checkpoint and ends.
                    process.wait()
            self._bring_home(paper, split)
        self._bring_home(paper, split)
        print(f"{split}: {'done' if process.returncode == 0 else 'it goes on the next time'}", flush=True)
        return process.returncode == 0 or monotonic() >= deadline - _LAST_SECONDS

    def _bring_home(self, paper: Path, split: str) -> None:
        """Writes the pieces of changed checkpoints, and the table so far."""
        result = self._results.get(split, {"checkpoints": {}})
        outdated: list[Path] = []
        for checkpoint in sorted(paper.glob(f"*/{FILE_NAME}")):
            run, changed = checkpoint.parent.name, checkpoint.stat().st_mtime_ns
            known = result["checkpoints"].get(run, {})
            if known.get("changed") != changed:
                # Under another name than the last one's pieces, which stay until the results name the new ones.
                name = f"{run}.{'b' if known.get('name', '').endswith('a') else 'a'}"
                pieces = write_pieces(checkpoint, self._out, name)
                result["checkpoints"][run] = {"changed": changed, "name": name, "pieces": pieces}
                outdated += self._out.glob(f"{known['name']}.[0-9]*") if known else []
        table = paper / "table.json"
        if table.exists():
            result["table"] = json.loads(table.read_text())
        self._note(split, {**result, "setting": self._setting})
        for piece in outdated:
            piece.unlink()

    def _restore(self, paper: Path, split: str) -> None:
        """Puts checkpoints together that are not here, as on a new machine."""
        for run, entry in self._results.get(split, {}).get("checkpoints", {}).items():
            checkpoint = paper / run / FILE_NAME
            if not checkpoint.exists() and not join_pieces(self._out, entry["name"], entry["pieces"], checkpoint):
                print(f"{run}: pieces of its checkpoint are missing, so it begins again", file=sys.stderr)

    def _note(self, name: str, result: dict[str, Any]) -> None:
        self._results[name] = result
        whole = self._file.with_suffix(".part")
        whole.write_text(json.dumps(self._results, indent=1) + "\n")
        whole.replace(self._file)


def _tree() -> str:
    """Returns a digest of the project's sources."""
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
