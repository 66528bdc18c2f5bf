"""A support set as it arrives: labelled images, checked against the rules before any of them costs anything."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from models.labels import Label, LabelSet, as_sets, labels_of
from models.labels import clean_label as clean
from server.errors import InvalidLabel, InvalidRequest, LimitExceeded, TooFewClasses
from server.settings import Settings
from server.store.records import LabelMode

MOST_LABELS = 64  # of an image


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One example as sent: a label, cleaned, or None if it is of none of the classes; encoded image bytes; and what its file is
    called, cleaned, if that is known. Where an image may have several labels, the label is the tuple of them."""

    label: Label | None
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


def clean_labels(raw: Sequence[str]) -> LabelSet:
    """Returns the labels of an image that may have several, cleaned, each once.

    Raises:
        InvalidLabel: one of them cannot be a label.
        LimitExceeded: they are more than 64.
    """
    if len(raw) > MOST_LABELS:
        raise LimitExceeded("labels of an image", len(raw), MOST_LABELS)
    return tuple(dict.fromkeys(map(clean_label, raw)))


def same_label(one: Label | None, other: Label | None) -> bool:
    """Returns whether an image would be labelled alike by both; of several labels the order does not matter."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return set(one) == set(other)
    return one == other


def spelt_as_before(labels: Iterable[Label | None], classes: Collection[str]) -> list[Label | None]:
    """Returns each label as the task has it: itself, or a class that is the same once cleaned, since earlier releases kept labels
    as they were sent."""
    labels = list(labels)
    texts = {text for label in labels for text in labels_of(label)}
    spelt = _spelt(texts, classes)
    return [tuple(spelt[text] for text in label) if isinstance(label, tuple) else label and spelt[label] for label in labels]


def _spelt(labels: Collection[str], classes: Collection[str]) -> Mapping[str, str]:
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


def check_mode(labels: Iterable[Label | None], mode: LabelMode) -> None:
    """Checks that examples say what labels they have as their task wants it.

    Raises:
        InvalidRequest: one of them has `label` where an image has several labels, or `labels` where it has one.
    """
    for label in labels:
        if mode == "multiple" and not isinstance(label, tuple):
            raise InvalidRequest("an image of this task may have several labels: send labels, a list, and not label")
        if mode == "single" and isinstance(label, tuple):
            raise InvalidRequest('an image of this task has one label: send label, and not labels; see label_mode "multiple"')


def check_support_set(labels: Sequence[Label | None], settings: Settings, named: Iterable[str] = ()) -> None:
    """Checks a whole support set, as a version would hold it. Examples without a class have the label None.

    Args:
        named: classes that need no example.

    Raises:
        TooFewClasses: there are fewer than two; or, where an image may have several labels, there is none, or one that all have.
        LimitExceeded: there are too many classes or examples.
    """
    sets = as_sets([label for label in labels if label is not None])
    counts = Counter([*(label for label in labels if isinstance(label, str)), *named])
    if sets is not None:
        counts = Counter(label for labels in sets for label in labels)
        _check_labels(counts, len(sets))
    elif len(counts) < 2:
        raise TooFewClasses(f"a task needs at least two classes with one example each; this would leave {len(counts)}")
    if len(counts) > settings.max_classes:
        raise LimitExceeded("classes of this task", len(counts), settings.max_classes)
    if len(labels) > settings.max_examples:
        raise LimitExceeded("examples of this task", len(labels), settings.max_examples)


def _check_labels(counts: Mapping[str, int], examples: int) -> None:
    if not counts:
        raise TooFewClasses("a task needs at least one label; this would leave none")
    for label, count in counts.items():
        if count == examples:
            raise TooFewClasses(
                f"all examples would have the label {label!r}, so that nothing tells what it is; add an image without it, "
                "with other labels or with none"
            )


def fingerprint(purpose: str, examples: Sequence[LabelledImage]) -> str:
    """sha256 of what a request asks for, so that a retry is recognised whatever its encoding or multipart boundary.

    No label is empty, so that nothing stands for the lack of one.
    """
    digest = hashlib.sha256()
    for part in (purpose.encode(), *(data for e in examples for data in (_text_of(e.label).encode(), e.image))):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _text_of(label: Label | None) -> str:
    return json.dumps(label) if isinstance(label, tuple) else label or ""
