"""The quality of a task, judged by its own examples alone, as frozen types."""

from dataclasses import dataclass, field
from typing import Self

from headstart.replies.values import Interval, JsonObject, LabelSet, interval, label_set


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """The quality of one class.

    Attributes:
        groups: how many examples there are if near-duplicates and shots of one thing count as one.
        judged: how many of its examples could be judged; 0 if there is only one group.
        recognised: how many of those were recognised.
        accuracy, interval: the recognised share, each group counting as one, with its 95 % interval; None if none was judged.
        false_positive_rate: in a task of several labels an image, the share of the other examples that got this label; else None.
    """

    label: str
    examples: int
    groups: int
    judged: int
    recognised: int
    accuracy: float | None
    interval: Interval | None
    false_positive_rate: float | None = None

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(
            label=body["label"],
            examples=body["examples"],
            groups=body.get("groups", body["examples"]),  # Earlier servers do not say.
            judged=body["judged"],
            recognised=body["recognised"],
            accuracy=body["accuracy"],
            interval=interval(body["interval"]),
            false_positive_rate=body.get("false_positive_rate"),
        )


@dataclass(frozen=True, slots=True)
class Confusion:
    """A pair of classes, and how many examples of the first were recognised as the second."""

    label: str
    recognised_as: str
    examples: int


@dataclass(frozen=True, slots=True)
class Prior:
    """The accuracy that the backbone's own evaluations found on other classes, at the ways and shots nearest to the task's.

    Attributes:
        accuracy: the mean over the datasets.
        lowest, highest: on the hardest and on the easiest dataset.
    """

    accuracy: float
    lowest: float
    highest: float
    ways: int
    shots: int
    datasets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """The accuracy to expect with `factor` times the examples of each class, with its 80 % interval."""

    factor: int
    accuracy: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Suspect:
    """An example whose label the other examples contradict.

    Attributes:
        label, suggested: the one that it has, and the one that it seems to belong to; None in a task of several labels an image.
        confidence: the probability of that label, or of the clearest change of several.
        file_name: name of its file; None if it is not known.
        labels, suggested_labels: the same in a task of several labels an image; else None.
    """

    example: str
    label: str | None
    suggested: str | None
    confidence: float
    file_name: str | None = None
    labels: LabelSet | None = None
    suggested_labels: LabelSet | None = None

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        sets = label_set(body.get("labels")), label_set(body.get("suggested_labels"))
        return cls(body["example"], body["label"], body["suggested"], body["confidence"], body.get("file_name"), *sets)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An example that is nearly the same as an earlier one, `of`. If their labels differ, one of them is wrong.

    In a task of several labels an image, `labels` and `of_labels` have them, and `label` and `of_label` are None.
    """

    example: str
    label: str | None
    of: str
    of_label: str | None
    similarity: float
    file_name: str | None = None
    of_file_name: str | None = None
    labels: LabelSet | None = None
    of_labels: LabelSet | None = None


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The left-out examples whose label got a probability from `lowest` to `highest`.

    Attributes:
        probability: that of the labels that they got, in the mean.
        accuracy: the share of them that got the right one.
    """

    lowest: float
    highest: float
    examples: int
    probability: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of a version of a task.

    Each example is judged by a head that was fitted without it, and without other shots of the same thing.

    Attributes:
        method: `leave-one-out`, or `20 folds` where that would take too long.
        judged: how many examples could be judged: all except those of classes with one group.
        groups: how many examples there are if near-duplicates and shots of one thing count as one.
        accuracy, interval: the recognised share, each group counting as one, with its 95 % interval; None if none was judged. In
            a task of several labels an image: the mean over the images of the labels that each has and got, among those that it
            has or got.
        one_session: classes whose examples look like one session; accuracy on images from elsewhere is not known for them.
        confusions: the most frequent first.
        prior: what to expect if not every example could be judged; None if all were, or if the backbone does not say.
        advice: which class gains most from more images, in a sentence.
        forecast: with twice and five times the examples of each class; empty if nothing can be said, or from earlier servers.
        suspects: the clearest first.
        reliability: whether probabilities mean what they say: the judged examples by the probability of their label.
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
    forecast: tuple[Forecast, ...]
    suspects: tuple[Suspect, ...]
    duplicates: tuple[Duplicate, ...]
    reliability: tuple[ReliabilityBin, ...]
    raw: JsonObject = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        classes = tuple(ClassQuality.from_json(each) for each in body["classes"])
        return cls(
            task=body["task"],
            version=body["version"],
            method=body["method"],
            judged=body["judged"],
            groups=body.get("groups") or sum(each.groups for each in classes),
            accuracy=body["accuracy"],
            interval=interval(body["interval"]),
            classes=classes,
            one_session=tuple(body.get("one_session", ())),
            confusions=tuple(Confusion(each["label"], each["recognised_as"], each["examples"]) for each in body["confusions"]),
            prior=_prior(body["prior"]),
            advice=body["advice"],
            forecast=tuple(_forecast(each) for each in body.get("forecast", ())),
            suspects=tuple(map(Suspect.from_json, body["suspects"])),
            duplicates=tuple(_duplicate(each) for each in body["duplicates"]),
            reliability=tuple(_bin(each) for each in body.get("reliability", ())),
            raw=body,
        )


def _forecast(body: JsonObject) -> Forecast:
    low, high = body["interval"]
    return Forecast(body["factor"], body["accuracy"], (low, high))


def _duplicate(body: JsonObject) -> Duplicate:
    names = (body.get("file_name"), body.get("of_file_name"), label_set(body.get("labels")), label_set(body.get("of_labels")))
    return Duplicate(body["example"], body["label"], body["of"], body["of_label"], body["similarity"], *names)


def _bin(body: JsonObject) -> ReliabilityBin:
    return ReliabilityBin(body["lowest"], body["highest"], body["examples"], body["probability"], body["accuracy"])


def _prior(body: JsonObject | None) -> Prior | None:
    if body is None:
        return None
    return Prior(body["accuracy"], body["lowest"], body["highest"], body["ways"], body["shots"], tuple(body["datasets"]))
