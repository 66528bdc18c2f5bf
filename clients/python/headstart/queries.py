"""Sends the images of a prediction, in as few requests as the server's limits allow."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from headstart.errors import InvalidImage, InvalidInput
from headstart.http.transport import Transport, parse
from headstart.images.kinds import Image, one_or_many
from headstart.images.loading import Loaded, in_requests, load
from headstart.limits import DEFAULT_LIMITS, Limits
from headstart.replies.joining import joined, joined_many
from headstart.replies.predictions import ManyPredictions, Predictions
from headstart.replies.values import JsonObject

Reply = TypeVar("Reply")

_TASKS_SHARE = 64  # One 64th of a body is kept free for the ids of many tasks.


class Queries:
    """The images of one prediction.

    Args:
        limits: returns the server's limits; called only if there are several images.
        progress: called after every request, with how many more images are done.

    Raises:
        TypeError: one of them is no image.
    """

    def __init__(
        self,
        transport: Transport,
        images: Image | Iterable[Image],
        limits: Callable[[], Limits],
        progress: Callable[[int], None] | None,
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._images = one_or_many("images", images)
        self._progress = progress
        self._names: list[str] = []

    def predict(self, path: str, params: Mapping[str, str | int | float]) -> Predictions:
        """The predictions of one task.

        Raises:
            InvalidImage: the only image cannot be read.
            NoImages: there are no images.
        """
        outcomes = [self._ask(Predictions.from_json, path, batch, params=params) for batch in self._batches()]
        with self._naming_the_only_image():
            return joined(outcomes, tuple(self._names))

    def predict_many(self, path: str, tasks: Iterable[str], params: Mapping[str, str | int]) -> ManyPredictions:
        """The predictions of several tasks: ids, or "all". Of "all", later requests ask the tasks that answered the first.

        Raises:
            InvalidImage: the only image cannot be read.
            NoImages: there are no images.
        """
        asked = list(tasks)
        outcomes: list[ManyPredictions | InvalidImage] = []
        for batch in self._batches():
            outcome = self._ask(ManyPredictions.from_json, path, batch, params=params, data={"tasks": ",".join(asked)})
            if isinstance(outcome, ManyPredictions):
                asked = [result.task for result in outcome] or asked
            outcomes.append(outcome)
        with self._naming_the_only_image():
            return joined_many(outcomes, tuple(self._names))

    def _batches(self) -> Iterator[list[Loaded]]:
        """Yields the images of each request; a batch counts as done when the next one is needed."""
        queries = load((position, "", image) for position, image in enumerate(self._images))
        limits = self._limits() if len(self._images) > 1 else DEFAULT_LIMITS
        room = limits.body_bytes - limits.body_bytes // _TASKS_SHARE
        for batch in in_requests(queries, limits.images, room):
            self._names += [image.name for image in batch]
            yield batch
            if self._progress:
                self._progress(len(batch))

    def _ask(
        self, kind: Callable[[JsonObject], Reply], path: str, batch: Sequence[Loaded], **parts: Mapping[str, int | str | float]
    ) -> Reply | InvalidImage:
        """The reply to a batch, or the refusal of its only image."""
        files = [image.part for image in batch]
        try:
            return parse(kind, self._transport.send("POST", path, files=files, **parts))
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
