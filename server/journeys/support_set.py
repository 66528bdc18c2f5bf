"""A support set as it arrives: labelled images, checked against the rules before any of them costs anything."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from models.labels import clean_label as clean
from server.errors import InvalidLabel, InvalidRequest, LimitExceeded, TooFewClasses
from server.settings import Settings


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One example as sent: a label, cleaned, or None if it is of none of the classes; encoded image bytes; and what its file is
    called, cleaned, if that is known."""

    label: str | None
    image: bytes
    name: str | None = None

    def place(self, position: int, images: int) -> str:
        """Returns the name that messages give to the image at this position, from 0, in its request."""
        place = f"image {position + 1} of {images}"
        if self.name is None:
            return place
        # The path in an archive, which has a folder, is a place of its own.
        return self.name if "/" in self.name else f"{place} ({self.name})"


def clean_label(raw: str) -> str:
    """Returns the label as `models.labels` has it.

    Raises:
        InvalidLabel: it is empty, longer than 128 characters, or holds control characters.
    """
    try:
        return clean(raw)
    except ValueError as error:
        raise InvalidLabel(f"a label {error}") from None


def spelt_as_before(labels: Iterable[str], classes: Collection[str]) -> dict[str, str]:
    """Each label as the task has it: itself, or a class that is the same once cleaned, since earlier releases kept labels as they
    were sent."""
    new = set(labels).difference(classes)
    spelt = {label: label for label in labels}
    for known in classes if new else ():
        with suppress(ValueError):  # Some are no labels any more.
            if (label := clean(known)) in new:
                spelt[label] = known
    return spelt


def check_request(examples: Sequence[LabelledImage], settings: Settings) -> None:
    """Checks what one request brings.

    Raises:
        InvalidRequest: there is no example.
        LimitExceeded: there are more images than one request may bring.
    """
    if not examples:
        raise InvalidRequest("there are no images; send at least one per class, each with its label")
    if len(examples) > settings.queue_images:
        raise LimitExceeded("images in this request", len(examples), settings.queue_images)


def check_support_set(labels: Sequence[str | None], settings: Settings) -> None:
    """Checks a whole support set, as a version would hold it. Examples without a class have the label None.

    Raises:
        TooFewClasses: there are fewer than two.
        LimitExceeded: there are too many classes or examples.
    """
    counts = Counter(label for label in labels if label is not None)
    if len(counts) < 2:
        raise TooFewClasses(f"a task needs at least two classes with one example each; this would leave {len(counts)}")
    if len(counts) > settings.max_classes:
        raise LimitExceeded("classes of this task", len(counts), settings.max_classes)
    if len(labels) > settings.max_examples:
        raise LimitExceeded("examples of this task", len(labels), settings.max_examples)


def fingerprint(purpose: str, examples: Sequence[LabelledImage]) -> str:
    """sha256 of what a request asks for, so that a retry is recognised whatever its encoding or multipart boundary.

    No label is empty, so that nothing stands for the lack of one.
    """
    digest = hashlib.sha256()
    for part in (purpose.encode(), *(data for e in examples for data in ((e.label or "").encode(), e.image))):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
