"""Data for experiments of the laboratory, small enough to train on in a moment."""

import itertools
import json
from pathlib import Path

import numpy as np
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
