"""Images to score, some of them broken, and a task."""

from pathlib import Path

import numpy as np
import pytest

from models.answers.classifier import Classifier
from models.bundle import find_bundles
from tests.helpers.bundles import SMALL
from tests.helpers.classifiers import classifier_of
from tests.helpers.images import encode

IMAGES = 400


@pytest.fixture(scope="module")
def classifier(small_bundles: Path) -> Classifier:
    return classifier_of(find_bundles(small_bundles)[SMALL], "task_1", "ab")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `IMAGES` images. Every ninth is broken."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for at in range(IMAGES):
        (folder / f"{at}.png").write_bytes(encode(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) if at % 9 else b"broken")
    return folder
