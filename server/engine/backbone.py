"""An opened bundle that serves, with its engine behind a queue."""

import asyncio
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Self

from models.answers.on_host import HostAnswers
from models.arrays import Array, Ints, on_host
from models.engine import Engine, file_of
from models.examples.bursts import bursts, least_similarity
from models.examples.suspects import duplicate_similarity
from models.heads.class_names import NamePrior
from models.heads.fitting import classes_of
from models.heads.head import EmbeddingSpace, Float32, features
from models.novelty.detector import Background
from server.engine.answering import Answers
from server.engine.batcher import Batcher
from server.engine.class_names import ClassNames
from server.engine.opening import Opened
from server.engine.shared.remote import RemoteBatcher, RemoteEngine
from server.errors import EngineFailed
from server.metrics import Metrics
from server.settings import Settings

_RIGHT_SECONDS = 2.0  # for which the golden images, once right, are not embedded again


class ServedBackbone:
    """A backbone that serves until it is closed.

    Use its batcher only in blocks of `Backbones.use`, on the event loop. Everything else stays valid after closing.

    Attributes:
        fitter: fits heads on its embeddings.
        class_names: embeds class names in the same space; None where the bundle has no network that can.
        space: of its embeddings in the host's memory.
        space_there: the same, where the engine leaves them.
        uses: the number of blocks that have used it so far.
        last_used: the time of the latest use, by `time.monotonic`.
    """

    def __init__(self, opened: Opened, settings: Settings, metrics: Metrics) -> None:
        bundle, engine = opened.bundle, opened.engine
        self.bundle = bundle
        self.fitter = opened.fitter
        self.class_names = opened.class_names
        self.kind = engine.kind
        self.space: EmbeddingSpace = engine.space
        self.space_there = self.space.on(engine.device)
        self._background = cache(lambda: Background.of(bundle.background, bundle.feature_mean, bundle.manifest.head.novelty))
        answers = self._answers(engine)
        self.batcher = _batcher(engine, answers, settings, bundle.id, metrics)
        self.uses = 0
        self.last_used = time.monotonic()
        self._right_until = 0.0
        self._users = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def no_embeddings(self) -> Array:
        """The embeddings of no image, (0, D), where the engine leaves those of others."""
        return self.space_there.mean[None][:0]

    def _answers(self, engine: Engine | RemoteEngine) -> Answers:
        if engine.device is None:
            return HostAnswers(self.space, self._background)
        from models.answers.on_device import DeviceAnswers

        return DeviceAnswers(self.space, self._background, engine.device)

    def names_at(self, weight: float | None, names: Sequence[str]) -> NamePrior | None:
        """Returns what class names say at a weight, in their order; None at none. It blocks while they are embedded.

        Raises:
            EngineFailed: they cannot be embedded.
        """
        if not weight:
            return None
        return self.reader().prior(names).weighed(weight)

    def reader(self) -> ClassNames:
        """Returns what embeds class names, for a task that cannot answer without.

        Raises:
            EngineFailed: the server lacks the extra `text`.
        """
        if self.class_names is None:
            raise EngineFailed(f"class names of bundle {self.bundle.id} need the extra text of the server's package")
        return self.class_names

    @cached_property
    def duplicate_similarity(self) -> float:
        """The least cosine of the embeddings of two images that count as one. Computed on first use, by any thread."""
        return duplicate_similarity(features(self.bundle.background, None))

    @cached_property
    def burst_similarity(self) -> float:
        """The least cosine of the embeddings of two shots of the same thing. Computed on first use, by any thread."""
        return least_similarity(features(self.bundle.background, None))

    @property
    def background(self) -> Background:
        """The bundle's background: features of images of no task in particular. Computed on first use, by any thread."""
        return self._background()

    def groups(self, labels: Sequence[Hashable], embeddings: Float32) -> Ints:
        """Returns the group of each of n examples, (n,). Examples of a group are left out together.

        A group holds shots of the same thing in one class (`models.examples.bursts`). Where an image may have several labels, the
        same labels in another order are the same class.

        Args:
            embeddings: (n, D), made by this backbone.
        """
        _, indices = classes_of([frozenset(label) if isinstance(label, tuple) else label for label in labels])
        return bursts(self.space.features(embeddings, centre=False), indices, self.burst_similarity)

    @property
    def idle(self) -> bool:
        """True if nobody uses it."""
        return not self._users

    @contextmanager
    def use(self) -> Iterator[Self]:
        """Keeps it open for the length of the block, however long that is."""
        self._users += 1
        self.uses += 1
        self._idle.clear()
        try:
            yield self
        finally:
            self._users -= 1
            self.last_used = time.monotonic()
            if self.idle:
                self._idle.set()

    async def wait_until_idle(self) -> None:
        """Waits until nobody uses it."""
        await self._idle.wait()

    async def check(self) -> None:
        """Checks the golden images' embeddings, through the same queue that serves requests, unless they were right just now.

        Load balancers ask several times a second, and the images cost as much as those of a request.

        Raises:
            EngineFailed: the engine fails.
            BundleError: the embeddings are not the golden ones.
        """
        if time.monotonic() < self._right_until:
            return
        with self.use():
            embeddings = await asyncio.to_thread(on_host, await self.batcher.embed(self.bundle.golden_pixels))
        self.bundle.check_golden(file_of(self.kind), embeddings)
        self._right_until = time.monotonic() + _RIGHT_SECONDS


def _batcher(
    engine: Engine | RemoteEngine, answers: Answers, settings: Settings, name: str, metrics: Metrics
) -> Batcher | RemoteBatcher:
    bounds = settings.queue_images, name, metrics, settings.queue_seconds
    return RemoteBatcher(engine, answers, *bounds) if isinstance(engine, RemoteEngine) else Batcher(engine, answers, *bounds)
