"""The choice of predictions to capture: in the background, or before the answer where that was asked for."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from models.answers.verdicts import APPLIES, verdict_of
from models.arrays import Array, Bools, Floats, Ints, Reals
from models.heads.head import Head
from server.errors import Conflict, LimitExceeded
from server.ids import new_id
from server.journeys.retry import KEEPS_CHANGING
from server.service import Service
from server.store.capture_records import Answered, NewCapture
from server.store.records import CaptureSetting, TaskKey

# Below ½ the head itself holds its label for more likely wrong than right. Within a margin of 0.2 the second label has at least
# two thirds of the first one's probability.
_LEAST_PROBABILITY, _LEAST_MARGIN = 0.5, 0.2
_DOUBT = 0.3  # of independent labels: one with a probability between this and one less this is in doubt


def to_capture(setting: CaptureSetting, independent: bool, probabilities: Floats, novelty: Reals | None) -> Ints:
    """Returns the positions of those of N predictions that a task captures.

    Args:
        independent: whether an image may have any number of labels.
        probabilities: (N, K), K at least 2 unless the labels are independent.
        novelty: (N,); None where strangers were not asked for.
    """
    if setting.keep == "none":
        return np.empty(0, np.int64)
    if setting.keep == "all":
        return np.arange(len(probabilities))
    return np.flatnonzero(_doubted(probabilities) if independent else _uncertain(probabilities, novelty))


def captures_of(
    key: TaskKey,
    version: int,
    forgettings: int,
    head: Head,
    images: Sequence[bytes],
    embeddings: Array,
    probabilities: Floats,
    novelty: Reals | None,
    rows: Ints,
) -> list[NewCapture]:
    """Returns the captures of those of N predictions that `rows` names.

    Args:
        forgettings: of the task, when the version was found to be active.
        images: N, those that could be read.
        embeddings: (N, D).
        probabilities: (N, K), by the head of that version.
        novelty: (N,); None where strangers were not asked for.
    """
    now = datetime.now(UTC)
    copies = embeddings[rows]  # An array of its own: a view would keep the whole batch in memory.
    labels = probabilities[rows].argmax(axis=1).tolist()
    found = []
    for at, row, k in zip(range(len(rows)), rows.tolist(), labels, strict=True):
        known, told = (None, None) if novelty is None else verdict_of(float(novelty[row]))
        applying = np.flatnonzero(probabilities[row] >= APPLIES)
        names = tuple(head.labels[each] for each in applying) if head.independent else None
        answered = Answered(head.labels[k], float(probabilities[row, k]), known, told, names)
        id_ = new_id("prediction")
        found.append(NewCapture(id_, key, version, head.backbone.sha256, images[row], copies[at], answered, now, forgettings))
    return found


async def remember(service: Service, setting: CaptureSetting, taken: Sequence[NewCapture]) -> None:
    """Stores captures at once.

    Raises:
        LimitExceeded: they are more than the task may have.
        StoredQuotaExceeded: they are more than the tenant may have.
        Conflict: the version that answered was forgotten meanwhile.
        StorageFailed: they cannot be stored.
    """
    if len(taken) > setting.limit:
        raise LimitExceeded("images to remember", len(taken), setting.limit)
    run = service.pools.in_images if service.store.images.elsewhere else service.pools.in_writer
    added = await run(service.store.captures.add, taken, service.settings.keep_images, whole=True)
    if added.removed:
        service.captures.sweep_soon(erase=True)
    if len(added.stored) < len(taken):
        raise Conflict(KEEPS_CHANGING)


def _uncertain(probabilities: Floats, novelty: Reals | None) -> Bools:
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    uncertain: Bools = (first < _LEAST_PROBABILITY) | (first - second < _LEAST_MARGIN)
    return uncertain if novelty is None else uncertain | [not verdict_of(each)[0] for each in novelty.tolist()]


def _doubted(probabilities: Floats) -> Bools:
    """Returns which images have a label in doubt, or none at all, where they may have several."""
    in_doubt = np.abs(probabilities - 0.5) <= 0.5 - _DOUBT
    doubted: Bools = in_doubt.any(axis=1) | (probabilities.max(axis=1) < APPLIES)
    return doubted
