"""Images to be recognised, on their way to the server: in as few requests as it takes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from headstart.errors import InvalidImage, InvalidInput
from headstart.http.transport import Transport, parse
from headstart.images.kinds import Image, one_or_many
from headstart.images.loading import Loaded, in_requests, load
from headstart.limits import DEFAULT_LIMITS, Limits
from headstart.replies.predictions import ManyPredictions, Predictions, joined, joined_many
from headstart.replies.tasks import JsonObject

Reply = TypeVar("Reply")

_TASKS_SHARE = 64  # One byte of so many is kept for the ids of many tasks.


class Queries:
    """The images of one call.

    Args:
        limits: asked once for what the server takes in one request, where there are several images.
        progress: called with how many more images are done after every request.

    Raises:
        TypeError: one of the images is no image.
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

    def predict(self, path: str, params: Mapping[str, str | int]) -> Predictions:
        """The labels that the task at `path` gives.

        Raises:
            InvalidImage: the only image cannot be read.
            NoImages: there are no images.
        """
        outcomes = [self._ask(Predictions.from_json, path, batch, params=params) for batch in self._batches()]
        with self._naming_the_only_image():
            return joined(outcomes, tuple(self._names))

    def predict_many(self, path: str, tasks: Iterable[str], params: Mapping[str, str | int]) -> ManyPredictions:
        """The labels that several tasks give: ids, or "all". For "all", later requests ask the tasks that answered the first.

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
        """The images of each request, one after the other; a batch counts as done when the next is asked for."""
        queries = load((position, "", image) for position, image in enumerate(self._images))
        limits = self._limits() if len(self._images) > 1 else DEFAULT_LIMITS
        room = limits.body_bytes - limits.body_bytes // _TASKS_SHARE
        for batch in in_requests(queries, limits.images, room):
            self._names += [image.name for image in batch]
            yield batch
            if self._progress:
                self._progress(len(batch))

    def _ask(
        self, kind: Callable[[JsonObject], Reply], path: str, batch: Sequence[Loaded], **parts: Mapping[str, int | str]
    ) -> Reply | InvalidImage:
        """A prediction reply, or the refusal of the only image."""
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
