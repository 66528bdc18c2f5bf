"""What does it cost that removed bytes leave the files? Creating and removing tasks with zeroing and without, in turns.

    python -m benchmarks.forgetting --json forgetting.json

Two stores of tasks of 25 images and embeddings in the sizes of the shipped bundle's; one has SQLite's `secure_delete` off. In a
turn each creates tasks, deletes the half, and erases after each deletion as the server does before it answers; the other half
stays, so that the files grow. Ratios are medians over the rounds.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import ParamSpec

import numpy as np

from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import paper_bundle, support_set
from models.heads.fitting import fit_head
from models.heads.head import EmbeddingSpace, Head
from server.changes import Changes
from server.ids import new_id
from server.store.records import NewExample, TaskKey
from server.store.sqlite_database import SqliteDatabase
from server.store.store import Store, sqlite_url

_TASKS = 40  # a turn
_TENANT = "default"
_STEPS = ("create", "delete", "erase")

_P = ParamSpec("_P")

Turn = dict[str, float]
"""Milliseconds per task, by step."""


def main() -> None:
    arguments = benchmark_parser("forgetting", __doc__, rounds=7).parse_args()
    bundle = paper_bundle()
    space = bundle.space("backbone.onnx")
    rounds: dict[str, list[Turn]] = {"on": [], "off": []}
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory()))
        stores = {name: opened.enter_context(closing(_store(folder / name, name))) for name in rounds}
        examples, head = _support(space, bundle.manifest.embedding_dim)
        for store in stores.values():
            _turn(store, examples, head)  # warms up
        for _ in range(arguments.rounds):
            for name, store in stores.items():
                rounds[name].append(_turn(store, examples, head))
    found = {}
    for step in _STEPS:
        on, off = ([turn[step] for turn in rounds[name]] for name in ("on", "off"))
        ratios = [one / other for one, other in zip(on, off, strict=True)]
        found[step] = {"on": median(on), "off": median(off), "ratio": median(ratios), "least": min(ratios), "most": max(ratios)}
        spread = f"{median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})"
        print(f"{step:<8}{median(on):>8.2f} ms with secure_delete,{median(off):>8.2f} without: {spread}")
    write_json(arguments.json, found)


def _store(folder: Path, secure_delete: str) -> Store:
    database = SqliteDatabase.open(sqlite_url(folder))
    with database.write() as connection:
        connection.exec_driver_sql(f"PRAGMA secure_delete = {secure_delete}")
    return Store(database, Changes())


def _support(space: EmbeddingSpace, dim: int) -> tuple[Sequence[NewExample], Head]:
    given = support_set()
    vectors = np.random.default_rng(0).standard_normal((len(given), dim), np.float32)
    labels = [label for label, _ in given]
    examples = [
        NewExample("", label, image, len(image), "image/png", hashlib.sha256(image).hexdigest(), vector)
        for (label, image), vector in zip(given, vectors, strict=True)
    ]
    return examples, fit_head(vectors, labels, space, paper_bundle().manifest.head.options())


def _turn(store: Store, examples: Sequence[NewExample], head: Head) -> Turn:
    seconds = dict.fromkeys(_STEPS, 0.0)
    for number in range(_TASKS):
        task = new_id("task")
        fresh = [replace(example, id=new_id("example")) for example in examples]
        seconds["create"] += _seconds(store.tasks.create, TaskKey(_TENANT, task), task, fresh, head)
        if number % 2:
            seconds["delete"] += _seconds(store.tasks.delete, TaskKey(_TENANT, task))
            seconds["erase"] += _seconds(store.erase)
    return {step: 1e3 * total / (_TASKS if step == "create" else _TASKS // 2) for step, total in seconds.items()}


def _seconds(work: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> float:
    started = time.perf_counter()
    work(*args, **kwargs)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
