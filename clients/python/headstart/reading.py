"""Reads images as they are, on threads where that takes time."""

from collections.abc import Sequence
from functools import partial

from headstart.http.steps import Steps, work
from headstart.images.loading import Loaded, Unloaded, load, loaded


def read(images: Sequence[Unloaded]) -> Steps[list[Loaded]]:
    """Steps to images in memory. Where all are bytes already, a thread would take longer than they do.

    Raises:
        OSError, TypeError: as from `headstart.images.loading.load`.
    """
    if all(isinstance(given, bytes) for _, _, given in images):
        return [loaded(image) for image in images]
    return (yield from work(partial(load, images)))
