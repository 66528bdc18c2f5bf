"""A backbone that replicas of `Engines` run, as a replica of `Api` sees it."""

import logging
from typing import Any

import ray
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from models.bundle import Bundle
from models.engine import EngineError, EngineKind, file_of
from models.heads.head import EmbeddingSpace, Float32
from models.images.preprocess import Pixels
from server.engine.shared.handshake import Wanted
from server.errors import EngineFailed
from server.on_ray.calls import BATCHES, Terms, model_of

_log = logging.getLogger(__name__)

_OPENING_SECONDS = 300.0


class RemoteBackbone:
    """A bundle's backbone in the replicas of `Engines`, with the interface of `models.engine.Engine`.

    A batch is sent once more if its replica ends: embedding changes nothing.

    Args:
        engines: the deployment.
        seconds: the longest wait for a batch.

    Raises:
        EngineError: the backbone cannot be run there.
    """

    parallel = BATCHES
    device: Any = None

    def __init__(self, engines: DeploymentHandle, seconds: float, bundle: Bundle, kind: EngineKind) -> None:
        self._seconds = seconds
        try:
            if kind == "auto":  # Replicas may be on different machines, and all must run the same file.
                kind = _agreed(engines.choose.remote(Wanted.of(bundle, kind))).kind
            self._engines = engines.options(multiplexed_model_id=model_of(Wanted.of(bundle, kind)))
            terms = _agreed(self._engines.open.remote())
        except (ray.exceptions.RayError, TimeoutError) as error:
            raise EngineError("no replica could open it", error) from error
        self.kind: EngineKind = kind
        self.max_batch = terms.max_batch
        self.space: EmbeddingSpace = bundle.space(file_of(kind))

    def embed(self, pixels: Pixels) -> Float32:
        """Returns the embeddings (N, D) of images (N, H, W, 3). Blocks. Raises EngineFailed."""
        for may_try_again in (True, False):
            response = self._engines.embed.remote(pixels)
            try:
                embeddings: Float32 = response.result(timeout_s=self._seconds)
                return embeddings
            except TimeoutError as error:
                response.cancel()
                raise EngineFailed("no replica embedded the images in time; try again") from error
            except ray.exceptions.RayError as error:
                if not may_try_again:
                    raise EngineFailed("the replicas failed on this batch; try again") from error
                _log.warning("a batch is sent once more: %s", error)
        raise AssertionError


def _agreed(response: DeploymentResponse) -> Terms:
    """Returns a replica's answer when it is there. Raises EngineError if it cannot run the engine."""
    terms: Terms = response.result(timeout_s=_OPENING_SECONDS)
    if terms.problem is not None:
        raise EngineError(terms.problem)
    return terms
