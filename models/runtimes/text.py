"""The network of a bundle that embeds text, on ONNX Runtime, and its tokenizer."""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from models.arrays import Ints
from models.bundle import Bundle, BundleError
from models.heads.head import Float32, features
from models.manifest import TextTower
from models.runtimes.sessions import open_session

_AT_ONCE = 16  # texts of a batch, which bounds its memory


def can_read_text() -> bool:
    """Returns whether the library that splits text into tokens is installed: the extra `text`."""
    return find_spec("tokenizers") is not None


class TextEncoder:
    """Embeds class names. One thread at a time may use it.

    Args:
        tower: the bundle's description of its text network.
        threads: CPU threads.

    Raises:
        BundleError: a file has changed, or cannot be read.
    """

    def __init__(self, bundle: Bundle, tower: TextTower, threads: int) -> None:
        from tokenizers import Tokenizer  # An extra, which bundles without a text network do without.

        self._bundle, self._tower = bundle, tower
        try:
            self._tokenizer = Tokenizer.from_buffer(bundle.read(tower.tokenizer))
            self._session = open_session(bundle.read(tower.file), threads)
        except BundleError:
            raise
        except Exception as error:  # The exceptions of both libraries share no base but Exception.
            raise BundleError(f"{tower.file}: cannot be run with {tower.tokenizer}", bundle.path) from error

    def embed(self, names: Sequence[str]) -> Float32:
        """Returns the embeddings of K class names in the bundle's template, float32 (K, D) of norm one. `_` is read as a space.

        Raises:
            BundleError: the network fails, or the tokens or the embeddings have not the shape that the manifest describes.
        """
        tokens = self._tokens([self._tower.template.format(name.replace("_", " ")) for name in names])
        try:
            parts = [
                self._session.run(None, {self._session.get_inputs()[0].name: tokens[start : start + _AT_ONCE]})[0]
                for start in range(0, len(tokens), _AT_ONCE)
            ]
        except Exception as error:  # The exceptions of the library share no base but Exception.
            raise BundleError(f"{self._tower.file}: fails on class names", self._bundle.path) from error
        embeddings = np.concatenate(parts)
        if embeddings.shape != (len(names), self._bundle.manifest.embedding_dim) or not np.isfinite(embeddings).all():
            raise BundleError(f"{self._tower.file}: its embeddings are not those of the manifest", self._bundle.path)
        unit: Float32 = features(embeddings.astype(np.float32), None)
        return unit

    def _tokens(self, texts: Sequence[str]) -> Ints:
        """Returns the tokens, int64 (K, L)."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        if any(len(row) != self._tower.length for row in rows):
            problem = f"{self._tower.tokenizer}: does not cut and fill up texts to {self._tower.length} tokens"
            raise BundleError(problem, self._bundle.path)
        return np.array(rows, np.int64)
