"""How good a task is, as far as its support set alone can tell, as frozen types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """How one class is recognised.

    Attributes:
        groups: how many examples there are, if near-duplicates and shots of one thing count as one.
        judged: how many of its examples could be judged; none if there is only one group.
        recognised: how many of those were recognised.
        accuracy, interval: that share, each group counting as one, with its 95 % interval; None if none was judged.
    """

    label: str
    examples: int
    groups: int
    judged: int
    recognised: int
    accuracy: float | None
    interval: Interval | None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            label=body["label"],
            examples=body["examples"],
            groups=body.get("groups", body["examples"]),  # Earlier servers did not tell.
            judged=body["judged"],
            recognised=body["recognised"],
            accuracy=body["accuracy"],
            interval=_interval(body),
        )


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many examples of one class were taken for another."""

    label: str
    recognised_as: str
    examples: int


@dataclass(frozen=True, slots=True)
class Prior:
    """What the backbone's own evaluations found on other classes, at the ways and shots nearest to the task's.

    Attributes:
        accuracy: the mean over the datasets.
        lowest, highest: of the hardest and of the easiest of them.
    """

    accuracy: float
    lowest: float
    highest: float
    ways: int
    shots: int
    datasets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suspect:
    """An example that the others contradict, the label that it seems to belong to, the probability of that, and what its file was
    called, where that is known."""

    example: str
    label: str
    suggested: str
    confidence: float
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An example that is all but an earlier one; under another label one of the two is wrong."""

    example: str
    label: str
    of: str
    of_label: str
    similarity: float
    file_name: str | None = None
    of_file_name: str | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a version of a task is: each example is judged by a head fitted without it, and without what looks like
    another shot of the same thing.

    Attributes:
        method: `leave-one-out`, or `20 folds` where that would take too long.
        judged: how many examples could be judged: all but those of classes with one group.
        groups: how many examples there are, if near-duplicates and shots of one thing count as one.
        accuracy, interval: the share of those that were recognised, each group counting as one, with its 95 % interval; None if
            none was judged.
        one_session: classes whose examples look like one session, so that none tells how images from elsewhere are recognised.
        confusions: the most frequent first.
        prior: what to expect where not every example could be judged; None if all were, or the backbone does not say.
        advice: which class gains most from more images, in a sentence.
        suspects: the clearest first.
        raw: the JSON as it arrived.
    """

    task: str
    version: int
    method: str
    judged: int
    groups: int
    accuracy: float | None
    interval: Interval | None
    classes: tuple[ClassQuality, ...]
    one_session: tuple[str, ...]
    confusions: tuple[Confusion, ...]
    prior: Prior | None
    advice: str
    suspects: tuple[Suspect, ...]
    duplicates: tuple[Duplicate, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        classes = tuple(ClassQuality.from_json(each) for each in body["classes"])
        return cls(
            task=body["task"],
            version=body["version"],
            method=body["method"],
            judged=body["judged"],
            groups=sum(each.groups for each in classes),
            accuracy=body["accuracy"],
            interval=_interval(body),
            classes=classes,
            one_session=tuple(body.get("one_session", ())),
            confusions=tuple(Confusion(each["label"], each["recognised_as"], each["examples"]) for each in body["confusions"]),
            prior=_prior(body["prior"]),
            advice=body["advice"],
            suspects=tuple(
                Suspect(each["example"], each["label"], each["suggested"], each["confidence"], each.get("file_name"))
                for each in body["suspects"]
            ),
            duplicates=tuple(_duplicate(each) for each in body["duplicates"]),
            raw=body,
        )


def _duplicate(body: Mapping[str, Any]) -> Duplicate:
    names = (body.get("file_name"), body.get("of_file_name"))
    return Duplicate(body["example"], body["label"], body["of"], body["of_label"], body["similarity"], *names)


def _interval(body: Mapping[str, Any]) -> Interval | None:
    if body["interval"] is None:
        return None
    low, high = body["interval"]
    return low, high


def _prior(body: Mapping[str, Any] | None) -> Prior | None:
    if body is None:
        return None
    return Prior(body["accuracy"], body["lowest"], body["highest"], body["ways"], body["shots"], tuple(body["datasets"]))
