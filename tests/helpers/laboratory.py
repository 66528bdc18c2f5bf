"""Experiments of the laboratory in tests: data small enough to train on in a moment, and runs that are stopped."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def colours(folder: Path) -> tuple[Path, Path]:
    """Writes five classes of 20 one-coloured noisy pictures of 32 x 32 for each part, and their split; returns both paths."""
    rng = np.random.default_rng(0)
    split = {part: [f"{part}{i}" for i in range(5)] for part in ("train", "validation", "test")}
    for name in itertools.chain(*split.values()):
        (folder / "images" / name).mkdir(parents=True)
        colour = rng.integers(0, 200, 3)
        for i in range(20):
            pixels = (colour + rng.integers(0, 56, (32, 32, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{i}.png")
    (folder / "split.json").write_text(json.dumps({"dataset": "colours", **split}))
    return folder / "images", folder / "split.json"


def lines(out: Path) -> list[dict[str, Any]]:
    """The results of each method so far."""
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@contextmanager
def stopped_after_writing(report: type[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stops what runs in the block, as by Ctrl-C, once a report has been written."""
    write = report.write

    def stop(written: Any) -> None:
        write(written)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(report, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            yield
