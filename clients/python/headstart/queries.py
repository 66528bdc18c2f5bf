"""Sends the images of a prediction, in as few requests as the server's limits allow."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from headstart.errors import InvalidImage, InvalidInput, NoImages
from headstart.http.exchange import Exchange, parse
from headstart.http.steps import Steps
from headstart.images.kinds import Image, one_or_many
from headstart.images.loading import Loaded, Requests, slices
from headstart.limits import DEFAULT_LIMITS, Limits
from headstart.reading import read
from headstart.replies.joining import joined, joined_many
from headstart.replies.predictions import ManyPredictions, Predictions
from headstart.replies.values import JsonObject

Reply = TypeVar("Reply")

_TASKS_SHARE = 64  # One 64th of a body is kept free for the ids of many tasks.


class Queries:
    """The images of one prediction.

    Args:
        limits: steps to the server's limits; taken only if there are several images.
        progress: called after every request, with how many more images are done.

    Raises:
        TypeError: one of them is no image.
    """

    def __init__(
        self,
        exchange: Exchange,
        images: Image | Iterable[Image],
        limits: Callable[[], Steps[Limits]],
        progress: Callable[[int], None] | None,
    ) -> None:
        self._exchange = exchange
        self._limits = limits
        self._images = one_or_many("images", images)
        self._progress = progress
        self._names: list[str] = []

    def predict(self, path: str, params: Mapping[str, str | int | float]) -> Steps[Predictions]:
        """Steps to the predictions of one task.

        Raises:
            InvalidImage: the only image cannot be read.
            NoImages: there are no images.
        """
        outcomes = yield from self._each(lambda batch: self._ask(Predictions.from_json, path, batch, params=params))
        with self._naming_the_only_image():
            return joined(outcomes, tuple(self._names))

    def predict_many(self, path: str, tasks: Iterable[str], params: Mapping[str, str | int]) -> Steps[ManyPredictions]:
        """Steps to the predictions of several tasks: ids, or "all", of which later requests ask those that answered the first.

        Raises:
            InvalidImage: the only image cannot be read.
            NoImages: there are no images.
        """
        asked = list(tasks)

        def ask(batch: Sequence[Loaded]) -> Steps[ManyPredictions | InvalidImage]:
            nonlocal asked
            data = {"tasks": ",".join(asked)}
            outcome = yield from self._ask(ManyPredictions.from_json, path, batch, params=params, data=data)
            if isinstance(outcome, ManyPredictions):
                asked = [result.task for result in outcome] or asked
            return outcome

        outcomes = yield from self._each(ask)
        with self._naming_the_only_image():
            return joined_many(outcomes, tuple(self._names))

    def _each(self, ask: Callable[[Sequence[Loaded]], Steps[Reply]]) -> Steps[list[Reply]]:
        """Steps to the outcome of each request."""
        limits = (yield from self._limits()) if len(self._images) > 1 else DEFAULT_LIMITS
        requests = Requests(limits.images, limits.body_bytes - limits.body_bytes // _TASKS_SHARE)
        outcomes: list[Reply] = []
        for some in slices((position, "", image) for position, image in enumerate(self._images)):
            for image in (yield from read(some)):
                if batch := requests.add(image):
                    outcomes += [(yield from self._done(batch, ask))]
        if batch := requests.rest():
            outcomes += [(yield from self._done(batch, ask))]
        if not outcomes:
            raise NoImages("no images were given")
        return outcomes

    def _done(self, batch: Sequence[Loaded], ask: Callable[[Sequence[Loaded]], Steps[Reply]]) -> Steps[Reply]:
        self._names += [image.name for image in batch]
        outcome = yield from ask(batch)
        if self._progress:
            self._progress(len(batch))
        return outcome

    def _ask(
        self, kind: Callable[[JsonObject], Reply], path: str, batch: Sequence[Loaded], **parts: Mapping[str, int | str | float]
    ) -> Steps[Reply | InvalidImage]:
        """Steps to the reply to a batch, or the refusal of its only image."""
        files = [image.part for image in batch]
        try:
            return parse(kind, (yield from self._exchange.send("POST", path, files=files, **parts)))
        except InvalidInput as error:
            if len(batch) > 1 or not (isinstance(error, InvalidImage) or error.code == "body_too_large"):
                raise
            return InvalidImage(error.status, error.code, error.detail, error.request_id)

    @contextmanager
    def _naming_the_only_image(self) -> Iterator[None]:
        try:
            yield
        except InvalidImage as error:
            error.detail = f"{self._names[0]}: {error.detail}"
            raise
