"""Sends labelled images: made smaller first, and in one request, because each request makes a version."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec

from headstart.errors import InvalidImage, NoImages, RequestTooLarge
from headstart.http.exchange import Exchange, parse
from headstart.http.steps import Steps, work
from headstart.images.examples import Labelled, several_labelled
from headstart.images.formats import FURTHER, is_worth_shrinking, shrink, shrink_further
from headstart.images.loading import Loaded, Unloaded, changed, load, merged, slices
from headstart.limits import DEFAULT_LIMITS, Limits, ask_limits
from headstart.reading import read
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
        input_side: steps to the side of the backbone's input in pixels, None if the server does not say; taken at most once, for
            the first image that is worth shrinking.
    """

    def __init__(self, input_side: Callable[[], Steps[int | None]]) -> None:
        self._ask = input_side
        self._asked = False
        self._side: int | None = None

    def load(self, images: Sequence[Unloaded]) -> Steps[list[Loaded]]:
        """Steps to images of a usual request."""
        if self._asked:  # Large files are in memory no longer than it takes to make them small.
            return (yield from work(partial(load, images, self._shrink)))
        loaded = yield from read(images)
        if not any(is_worth_shrinking(image.content) for image in loaded):
            return loaded
        yield from self._learn_side()
        return (yield from work(partial(changed, loaded, self._shrink)))

    def shrink_further(self, images: Sequence[Loaded], quality: int, least: int) -> Steps[list[Loaded]]:
        """Steps to images of a request that would be too large otherwise: see `formats.shrink_further`."""
        yield from self._learn_side()
        if (side := self._side) is None:
            return list(images)
        return (yield from work(partial(changed, images, lambda content: shrink_further(content, side, quality, least))))

    def _learn_side(self) -> Steps[None]:
        if not self._asked:
            self._side = yield from self._ask()
            self._asked = True

    def _shrink(self, content: bytes) -> bytes:
        return shrink(content, self._side) if self._side and is_worth_shrinking(content) else content


class Upload:
    """The examples of one call.

    Args:
        shrinker: makes large images smaller; None sends all as they are.
        broken: called for every image that cannot be read; the image is left out. Without it, such an image is an error.
        several_labels: whether an image may have several labels: then equal images are sent once, with the labels of all.

    Raises:
        TypeError: an image has a list of labels, and an image may not have several.
    """

    def __init__(
        self,
        exchange: Exchange,
        given: Sequence[Labelled],
        shrinker: Shrinker | None,
        broken: Broken | None,
        several_labels: bool = False,
    ) -> None:
        self._exchange = exchange
        self._known_limits: Limits | None = None
        self._several = several_labels
        if several_labels:
            given = several_labelled(given)
        elif any(isinstance(label, tuple) for label, _ in given):
            raise TypeError("examples: a list of labels is for tasks of several labels an image; pass several_labels=True")
        self._given = sorted(given, key=lambda example: example[0] is None)  # as the server counts them
        self._shrinker = shrinker
        self._broken = broken

    def send(self, path: str, fields: Mapping[str, str], progress: Progress | None) -> Steps[Task]:
        """Sends the examples to `path`; steps to the task after that.

        Raises:
            NoImages: there are no examples, or none of a class that can be read.
            RequestTooLarge: they are more than the server takes in one request.
            InvalidImage: some of them cannot be read; the detail names them.
        """
        images = yield from self._load(progress)
        try:
            return (yield from self._post(path, images, fields))
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
        return (yield from self._post(path, readable, fields))

    def _post(self, path: str, images: Sequence[Loaded], fields: Mapping[str, str]) -> Steps[Task]:
        response = yield from self._exchange.send(
            "POST",
            path,
            data={**fields, "labels": [label for image in images if (label := image.form_label) is not None]},
            files=[image.part for image in images],
            headers={"Idempotency-Key": uuid.uuid4().hex},
        )
        return parse(Task.from_json, response)

    def _load(self, progress: Progress | None) -> Steps[list[Loaded]]:
        """Steps to the examples as they are sent."""
        count = len(self._given)
        if not count:
            raise NoImages("no images were given")
        if not self._several:
            yield from self._check_count(count)
        images: list[Loaded] = []
        size, most = 0, _IN_MEMORY if self._shrinker else 1
        for some in slices((position, *each) for position, each in enumerate(self._given)):
            for image in (yield from self._shrinker.load(some) if self._shrinker else read(some)):
                images.append(image)
                size += image.form_bytes
                if progress:
                    progress(1)
                if (yield from self._is_over(size / most)):
                    raise (yield from self._too_large(images, "at least "))
        if self._several:
            images = merged(images)
            yield from self._check_count(len(images))
        for quality, least in FURTHER:
            if self._shrinker is not None and (yield from self._is_over(_size(images))):
                images = yield from self._shrinker.shrink_further(images, quality, least)
        if (yield from self._is_over(_size(images))):
            raise (yield from self._too_large(images))
        return images

    def _is_over(self, size: float) -> Steps[bool]:
        return size > DEFAULT_LIMITS.body_bytes and size > (yield from self._limits()).body_bytes

    def _limits(self) -> Steps[Limits]:
        """Steps to the server's limits; only calls beyond the default limits ask for them."""
        if self._known_limits is None:
            self._known_limits = yield from ask_limits(self._exchange)
        return self._known_limits

    def _check_count(self, examples: int) -> Steps[None]:
        if examples > DEFAULT_LIMITS.new_examples and examples > (most := (yield from self._limits()).new_examples):
            raise RequestTooLarge(
                f"{examples} examples are more than the {most} that the server takes in one request. "
                f"{_ONE_VERSION}, or start the server with a larger --queue-images."
            )

    def _too_large(self, images: Sequence[Loaded], at_least: str = "") -> Steps[RequestTooLarge]:
        limits = yield from self._limits()
        largest = max(images, key=lambda image: len(image.content))
        smaller = "" if find_spec("PIL") else "Install Pillow, so that large ones are made smaller. "
        return RequestTooLarge(
            f"{len(self._given)} examples take {at_least}{_size(images) / 1e6:.1f} MB, of which {largest.name} takes "
            f"{len(largest.content) / 1e6:.1f} MB; the server takes {limits.body_bytes / 1e6:g} MB in one request. "
            f"{smaller}{_ONE_VERSION}, or start the server with a larger --max-body-bytes."
        )


_ONE_VERSION = "Each request makes a version, so nothing was sent. Give fewer, and add the others in a second call"


def _classes(labels: Iterable[str | tuple[str, ...] | None]) -> set[str | None]:
    """The classes that these labels name; None if one of them is none."""
    return {one for label in labels for one in (label if isinstance(label, tuple) else (label,))}


def _size(images: Sequence[Loaded]) -> int:
    return sum(image.form_bytes for image in images)


def _some_of(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return "; ".join(texts[:_NAMED]) + more
