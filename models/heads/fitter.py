"""Fits heads on the host or on a device, whichever is faster for a task of that size."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from models.arrays import Array, on_host
from models.heads.fitting import fit_head
from models.heads.head import EmbeddingSpace, Head
from models.heads.several_labels import fit_labels
from models.labels import Label, as_sets, as_texts
from models.manifest import HeadOptions
from models.measured import recall
from models.processor import available_cores, processor_name

_SIZES = ((5, 5), (20, 5), (20, 20), (50, 20))  # ways and shots of the fits that are timed
_TURNS = 5
_OPTIONS = HeadOptions(solver="logistic", C=1.0, centre=True, temperature=1.0)

_log = logging.getLogger(__name__)


class Fitter:
    """Fits heads in one embedding space. Thread-safe.

    Args:
        space: with its mean in the host's memory.
        device: the `torch.device` for large tasks; None to fit all on the host.
        least: the fewest examples of a task that is fitted on the device.
    """

    def __init__(self, space: EmbeddingSpace, device: Any = None, least: int = 0) -> None:
        self.space = space
        self.device = device
        self.least = least
        self._there = space.on(device)

    def fit(self, embeddings: Array, labels: Sequence[Label], options: HeadOptions) -> Head:
        """Returns what `models.heads.fitting.fit_head` does, or on the host `models.heads.several_labels.fit_labels`.

        Args:
            embeddings: (n, D), in the host's memory or on the device.
            labels: n labels, or n sets of them.

        Raises:
            ValueError: there are too few classes or labels, or not as many labels as embeddings.
        """
        if (sets := as_sets(labels)) is not None:
            return fit_labels(on_host(embeddings), sets, self.space, options)
        labels = as_texts(labels)
        if self.device is None or len(labels) < self.least:
            return fit_head(on_host(embeddings), labels, self.space, options)
        if isinstance(embeddings, np.ndarray):
            from models.tensors import on_device

            embeddings = on_device(embeddings, self.device)
        return fit_head(embeddings, labels, self._there, options)


def measured_fitter(space: EmbeddingSpace, device: Any, name: str, remembered: Path | None) -> Fitter:
    """Returns a fitter that takes the device for the sizes that it was measured to be faster at.

    Those are all sizes from the smallest on at which the device was faster, there and at each larger one.

    Args:
        device: a `torch.device`.
        name: of its hardware, under which the measurements are kept.
        remembered: a file that keeps them; made if missing.
    """
    here, there = Fitter(space), Fitter(space, device)
    least = None
    for ways, shots in reversed(_SIZES):
        machine = f"{name}, {processor_name()}, {available_cores()} cores"
        setting = f"fit of {ways} x {shots} examples of {len(space.mean)} numbers, {machine}"
        if recall(remembered, setting, lambda: _speedup(here, there, ways, shots)) <= 1.0:  # noqa: B023 (called at once)
            break
        least = ways * shots
    _log.info("%s fits heads of %s", name, "no task" if least is None else f"tasks with {least} examples and more")
    return here if least is None else Fitter(space, device, least)


def _speedup(here: Fitter, there: Fitter, ways: int, shots: int) -> float:
    """Returns how many times as fast `there` fits a task, from embeddings on its device."""
    from models.tensors import on_device

    rng = np.random.default_rng(0)
    labels = [str(k) for k in range(ways)] * shots
    centres = rng.normal(size=(ways, len(here.space.mean)))
    embeddings = (np.tile(centres, (shots, 1)) + rng.normal(size=(ways * shots, len(here.space.mean)))).astype(np.float32)
    placed = on_device(embeddings, there.device)

    def seconds(fit: Callable[[Array, Sequence[str], HeadOptions], Head]) -> float:
        started = time.perf_counter()
        fit(placed, labels, _OPTIONS)
        return time.perf_counter() - started

    for fitter in (here, there):
        fitter.fit(placed, labels, _OPTIONS)
    return median(seconds(here.fit) / seconds(there.fit) for _ in range(_TURNS))
