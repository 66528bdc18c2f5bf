"""A small dataset on disk for the trainer's commands: class folders of coloured noise, and a split file."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

BASE, VALIDATION, NOVEL = ([f"{part}{i}" for i in range(count)] for part, count in (("base", 8), ("val", 5), ("new", 5)))
IMAGES = 24


def write_colours(folder: Path) -> Path:
    """Writes `images/<class>/<n>.png`, 32 x 32, each class around a colour of its own, and `split.json`; returns the folder."""
    rng = np.random.default_rng(0)
    for name in [*BASE, *VALIDATION, *NOVEL]:
        (folder / "images" / name).mkdir(parents=True)
        colour = rng.integers(0, 200, 3)
        for i in range(IMAGES):
            pixels = (colour + rng.integers(0, 56, (32, 32, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{i}.png")
    split = {"dataset": "colours", "train": BASE, "validation": VALIDATION, "test": NOVEL}
    (folder / "split.json").write_text(json.dumps(split))
    return folder
