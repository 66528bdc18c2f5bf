"""Sends labelled images: made smaller first, and in one request, because each request makes a version."""

import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from threading import Lock

from headstart.errors import InvalidImage, NoImages, RequestTooLarge
from headstart.http.transport import Transport, parse
from headstart.images.examples import Labelled, several_labelled
from headstart.images.formats import FURTHER, is_worth_shrinking, shrink, shrink_further
from headstart.images.loading import Loaded, load, merged
from headstart.limits import DEFAULT_LIMITS, Limits, ask_limits
from headstart.replies.tasks import Task

_NAMED = 10  # labels or images in a message
_IN_MEMORY = 8  # times the limit of a body may be in memory, as images may still get smaller

Progress = Callable[[int], None]
"""Called with how many more images are done: in a prediction after every request, in an upload as they are made ready."""

Broken = Callable[[str, str], None]
"""Called with the name of an image that cannot be read (its path if it has one) and the reason."""


class Shrinker:
    """Makes images smaller.

    Args:
        input_side: returns the side of the backbone's input in pixels, None if the server does not say; called at most once, for
            the first image that is worth shrinking.
    """

    def __init__(self, input_side: Callable[[], int | None]) -> None:
        self._ask = input_side
        self._asking = Lock()
        self._known: list[int | None] = []

    def shrink(self, content: bytes) -> bytes:
        """An image of a usual request."""
        if not is_worth_shrinking(content):
            return content
        side = self._side()
        return shrink(content, side) if side else content

    def shrink_further(self, content: bytes, quality: int, least: int) -> bytes:
        """An image of a request that would be too large otherwise: see `formats.shrink_further`."""
        side = self._side()
        return shrink_further(content, side, quality, least) if side else content

    def _side(self) -> int | None:
        with self._asking:  # Otherwise each thread would ask.
            if not self._known:
                self._known.append(self._ask())
        return self._known[0]


class Upload:
    """The examples of one call.

    Args:
        shrinker: makes large images smaller; None sends all as they are.
        broken: called for every image that cannot be read; the image is left out. Without it, such an image is an error.
        several_labels: whether an image may have several labels: then equal images are sent once, with the labels of all.
    """

    def __init__(
        self,
        transport: Transport,
        given: Sequence[Labelled],
        shrinker: Shrinker | None,
        broken: Broken | None,
        several_labels: bool = False,
    ) -> None:
        self._transport = transport
        self._several = several_labels or any(isinstance(label, tuple) for label, _ in given)
        given = several_labelled(given) if self._several else given
        self._given = sorted(given, key=lambda example: example[0] is None)  # as the server counts them
        self._shrinker = shrinker
        self._broken = broken

    def send(self, path: str, fields: Mapping[str, str], progress: Progress | None) -> Task:
        """Sends the examples to `path`, and returns the task after that.

        Raises:
            NoImages: there are no examples, or none of a class that can be read.
            RequestTooLarge: they are more than the server takes in one request.
            InvalidImage: some of them cannot be read; the detail names them.
        """
        images = self._load(progress)
        try:
            return self._post(path, images, fields)
        except InvalidImage as error:
            unreadable = {each.position: each.detail for each in error.images if each.position < len(images)}
            if not unreadable:
                raise
            if self._broken is None or len(unreadable) == len(images):
                error.detail = _some_of([f"{images[position].name}: {detail}" for position, detail in unreadable.items()])
                raise
            for position, detail in unreadable.items():
                self._broken(images[position].name, detail)
        readable = [image for position, image in enumerate(images) if position not in unreadable]
        if untaught := _classes(label for label, _ in self._given) - _classes(image.label for image in readable):
            names = sorted("none of the classes" if label is None else label for label in untaught)
            raise NoImages(f"no image of {_some_of(names)} can be read")
        return self._post(path, readable, fields)

    def _post(self, path: str, images: Sequence[Loaded], fields: Mapping[str, str]) -> Task:
        response = self._transport.send(
            "POST",
            path,
            data={**fields, "labels": [label for image in images if (label := image.form_label) is not None]},
            files=[image.part for image in images],
            headers={"Idempotency-Key": uuid.uuid4().hex},
        )
        return parse(Task.from_json, response)

    def _load(self, progress: Progress | None) -> list[Loaded]:
        """The examples as they are sent."""
        count = len(self._given)
        if not count:
            raise NoImages("no images were given")
        if count > DEFAULT_LIMITS.new_examples and count > self._limits.new_examples:
            raise self._too_many()
        images: list[Loaded] = []
        size, most = 0, _IN_MEMORY if self._shrinker else 1
        prepare = self._shrinker.shrink if self._shrinker else bytes
        for image in load(((position, *each) for position, each in enumerate(self._given)), prepare, progress):
            images.append(image)
            size += image.form_bytes
            if self._is_over(size / most):
                raise self._too_large(images, "at least ")
        if self._several:
            images = merged(images)
        for quality, least in FURTHER:
            if self._shrinker is not None and self._is_over(_size(images)):
                images = _each(images, self._shrinker, quality, least)
        if self._is_over(_size(images)):
            raise self._too_large(images)
        return images

    def _is_over(self, size: float) -> bool:
        return size > DEFAULT_LIMITS.body_bytes and size > self._limits.body_bytes

    @cached_property
    def _limits(self) -> Limits:
        """The server's limits; only calls beyond the default limits ask for them."""
        return ask_limits(self._transport)

    def _too_many(self) -> RequestTooLarge:
        return RequestTooLarge(
            f"{len(self._given)} examples are more than the {self._limits.new_examples} that the server takes in one request. "
            f"{_ONE_VERSION}, or start the server with a larger --queue-images."
        )

    def _too_large(self, images: Sequence[Loaded], at_least: str = "") -> RequestTooLarge:
        largest = max(images, key=lambda image: len(image.content))
        smaller = "" if find_spec("PIL") else "Install Pillow, so that large ones are made smaller. "
        return RequestTooLarge(
            f"{len(self._given)} examples take {at_least}{_size(images) / 1e6:.1f} MB, of which {largest.name} takes "
            f"{len(largest.content) / 1e6:.1f} MB; the server takes {self._limits.body_bytes / 1e6:g} MB in one request. "
            f"{smaller}{_ONE_VERSION}, or start the server with a larger --max-body-bytes."
        )


_ONE_VERSION = "Each request makes a version, so nothing was sent. Give fewer, and add the others in a second call"


def _classes(labels: Iterable[str | tuple[str, ...] | None]) -> set[str | None]:
    """The classes that these labels name; None if one of them is none."""
    return {one for label in labels for one in (label if isinstance(label, tuple) else (label,))}


def _each(images: Sequence[Loaded], shrinker: Shrinker, quality: int, least: int) -> list[Loaded]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        contents = pool.map(lambda image: shrinker.shrink_further(image.content, quality, least), images)
        return [replace(image, content=content) for image, content in zip(images, contents, strict=True)]


def _size(images: Sequence[Loaded]) -> int:
    return sum(image.form_bytes for image in images)


def _some_of(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return "; ".join(texts[:_NAMED]) + more
