"""The embeddings of class names by one bundle, each made once."""

import logging
import threading
from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache

from models.bundle import Bundle, BundleError
from models.heads.class_names import NamePrior
from models.heads.head import Float32
from models.manifest import TextTower
from models.runtimes.text import TextEncoder, can_read_text
from server.errors import EngineFailed

_REMEMBERED = 4096  # names, of some kilobytes each
_ANY_NAME = "cat"

_log = logging.getLogger(__name__)


class ClassNames:
    """Embeds class names, and remembers the latest ones. Thread-safe; its methods block.

    Args:
        bundle: with a text network.
        tower: its description.
        threads: CPU threads of the network.

    Raises:
        BundleError: the network cannot be opened, or does not do what the manifest says.
    """

    def __init__(self, bundle: Bundle, tower: TextTower, threads: int) -> None:
        self._bundle = bundle
        self._scale = tower.scale
        self._encoder = TextEncoder(bundle, tower, threads)
        self._known: LRUCache[str, Float32] = LRUCache(_REMEMBERED)
        self._lock = threading.Lock()  # of what is remembered; nobody waits for the network under it
        self._at_network = threading.Lock()
        self._encoder.embed([_ANY_NAME])

    def prior(self, names: Sequence[str]) -> NamePrior:
        """Returns what these names say of images, in their order.

        Raises:
            EngineFailed: the network failed.
        """
        vectors = self._remembered(names)
        if len(vectors) < len(set(names)):
            with self._at_network:
                vectors |= self._remembered(names)  # Whoever was there before may have embedded the same.
                if new := [name for name in dict.fromkeys(names) if name not in vectors]:
                    made = dict(zip(new, self._embedded(new), strict=True))
                    with self._lock:
                        self._known.update(made)
                    vectors |= made
        return NamePrior(np.stack([vectors[name] for name in names]), self._scale)

    def _remembered(self, names: Sequence[str]) -> dict[str, Float32]:
        with self._lock:
            return {name: self._known[name] for name in names if name in self._known}

    def _embedded(self, names: Sequence[str]) -> Float32:
        try:
            return self._encoder.embed(names)
        except BundleError as error:
            raise EngineFailed(f"the text network of bundle {self._bundle.id} failed: {error.problem}") from error


def class_names_of(bundle: Bundle, threads: int) -> ClassNames | None:
    """Returns what embeds class names by a bundle; None if it has no text network, or the server lacks the extra `text`.

    Raises:
        BundleError: the network cannot be opened, or does not do what the manifest says.
    """
    if (tower := bundle.manifest.text) is None:
        return None
    if not can_read_text():
        _log.warning("%s has a network for class names, which needs the extra `text` of this package", bundle.id)
        return None
    return ClassNames(bundle, tower, threads)
