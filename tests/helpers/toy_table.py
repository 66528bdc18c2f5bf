"""What makes the paper's table quick: recipes of toy size, and pictures of FC100's classes."""

from pathlib import Path

import numpy as np
from PIL import Image

from training.data.class_split import read_split

TOY = ["network=conv4", "widths=4", "epochs=1", "rotation=off", "input_size=16", "dropblock=0"]


def write_pictures(folder: Path) -> None:
    """Writes a folder for each class of FC100, of 7 pictures."""
    rng = np.random.default_rng(0)
    split = read_split("fc100")
    for name in (*split.train, *split.validation, *split.test):
        (folder / name).mkdir(parents=True)
        for i in range(7):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")
