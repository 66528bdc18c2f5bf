"""Made-up domains in the form that the benchmarks read, for tests."""

import json
import zipfile
from pathlib import Path

import numpy as np

from tests.helpers.images import encode

_CLASSES = 6
EACH = 9  # images of a class


def write_domain(data: Path, name: str, seed: int, part: str = "test", classes: int = _CLASSES, each: int = EACH) -> None:
    """So many classes, which differ in colour by less than their images do."""
    rng = np.random.default_rng(seed)
    colours = {f"class{k}": rng.integers(90, 160, 3) for k in range(classes)}
    for folder in ("photos", "splits"):
        (data / folder).mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(data / "photos" / f"{name}.zip", "w") as target:
        for label, colour in colours.items():
            for index in range(each):
                pixels = np.clip(colour + rng.normal(0, 30, 3) + rng.normal(0, 30, (40, 36, 3)), 0, 255).astype(np.uint8)
                target.writestr(f"{label}/{index}.png", encode(pixels))
    split = {"dataset": name, "train": [], "validation": [], "test": [], part: list(colours)}
    (data / "splits" / f"photos-{name}.json").write_text(json.dumps(split))
