"""Predictions: one result for each image. An unreadable image has no label, so that it cannot be taken for one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, overload

from headstart.errors import UnreadableImages
from headstart.replies.values import JsonObject, LabelSet, label_set


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An example that an image resembles.

    Attributes:
        label: None in a task of several labels an image.
        similarity: cosine of their features; 1 for the same pixels.
        file_name: name of the example's file; None if it is not known.
        labels: of the example, in a task of several labels an image; else None.
    """

    example: str
    label: str | None
    similarity: float
    file_name: str | None = None
    labels: LabelSet | None = None

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        labels = label_set(body.get("labels"))
        return cls(body["example"], body["label"], body["similarity"], body.get("file_name"), labels)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one image.

    Attributes:
        scores: probabilities by label, the most probable first.
        known: False if the image is of none of the task's classes; `label` is then only the most similar class. None if the call
            did not ask for this.
        novelty: 0 for an image like the task's classes, 1 for one unlike them; `known` is False above ½.
        nearest: the examples most similar to the image, the most similar first; `Client.example_image` fetches them.
        id: of a prediction that was remembered, for `Client.correct`; else None.
        set: the labels that hold the right one as often as the call asked (`coverage`), the most probable first. None if the
            call did not ask for this.
        labels: in a task of several labels an image, those that it has: with a probability of at least ½, the most probable
            first. There `scores` are independent, `label` is the most probable, and `known` says whether it has any. Else None.
    """

    label: str
    probability: float
    scores: Mapping[str, float]
    known: bool | None = None
    novelty: float | None = None
    nearest: tuple[Neighbour, ...] = ()
    id: str | None = None
    set: tuple[str, ...] | None = None
    labels: LabelSet | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in the place of an image that could not be read.

    It has no label, so code that forgets this case fails: in the type checker, and at run time.
    """

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """The promise of the prediction sets of a reply.

    Attributes:
        asked: the share of images, as varied as the examples, whose set is to hold the right label.
        finest: the highest coverage that the examples can support by themselves; None where they support none.
    """

    asked: float
    finest: float | None


@dataclass(frozen=True, slots=True)
class Predictions(Sequence[Prediction | Unreadable]):
    """One result for every image, in the order of the call.

    Attributes:
        version: of the task. If the task changed between the requests of a call, the last version.
        mode: "transductive" if the images were judged together, "inductive" if each alone. The server judges them alone, too, if
            to judge them together would not help.
        timing_ms: decode, embed, head and total on the server, summed over the requests of the call.
        raw: the JSON as it arrived, the replies of several requests joined into one.
        names: of the images: paths, or their places in the call.
        coverage: what the sets promise. None if the call did not ask for sets.
    """

    task: str
    version: int
    backbone: str
    results: tuple[Prediction | Unreadable, ...]
    timing_ms: Mapping[str, float]
    raw: JsonObject = field(repr=False, compare=False)
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)
    mode: str = "inductive"
    coverage: Coverage | None = None

    @overload
    def __getitem__(self, index: int) -> Prediction | Unreadable: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Prediction | Unreadable, ...]: ...
    def __getitem__(self, index: int | slice) -> Prediction | Unreadable | tuple[Prediction | Unreadable, ...]:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Prediction | Unreadable]:
        return iter(self.results)

    @property
    def unreadable(self) -> dict[int, Unreadable]:
        """The images that could not be read, by their position in the call."""
        return {position: result for position, result in enumerate(self.results) if isinstance(result, Unreadable)}

    def checked(self) -> tuple[Prediction, ...]:
        """The predictions, for callers to whom an unreadable image is an error.

        Raises:
            UnreadableImages: some image could not be read.
        """
        if unreadable := self.unreadable:
            raise UnreadableImages({position: image.detail for position, image in unreadable.items()}, self.names)
        return tuple(result for result in self.results if isinstance(result, Prediction))

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(
            task=body["task"],
            version=body["version"],
            backbone=body["backbone"],
            results=tuple(_result(result) for result in body["predictions"]),
            timing_ms=body["timing_ms"],
            raw=body,
            mode=body.get("mode", "inductive"),  # Earlier servers, and replies of many tasks, do not say.
            coverage=Coverage(body["coverage"]["asked"], body["coverage"]["finest"]) if body.get("coverage") else None,
        )


@dataclass(frozen=True, slots=True)
class UnusableTask:
    """Stands in the place of a task that could not answer. Like `Unreadable`, it has nothing that looks like an answer."""

    task: str
    version: int
    backbone: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class ManyPredictions:
    """The predictions of several tasks, in the order of the call; of all tasks, the newest first.

    Attributes:
        timing_ms: decode, embed, head and total on the server, for all tasks together.
        raw: the JSON as it arrived, the replies of several requests joined into one.
    """

    results: tuple[Predictions | UnusableTask, ...]
    timing_ms: Mapping[str, float]
    raw: JsonObject = field(repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Predictions | UnusableTask]:
        return iter(self.results)

    @property
    def unusable(self) -> tuple[UnusableTask, ...]:
        """The tasks that could not answer."""
        return tuple(result for result in self.results if isinstance(result, UnusableTask))

    @property
    def unreadable(self) -> dict[int, Unreadable]:
        """The images that could not be read, by their position in the call: the same for every task."""
        return next((result.unreadable for result in self.results if isinstance(result, Predictions)), {})

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        timing_ms = body["timing_ms"]
        return cls(tuple(_of_task(result, timing_ms) for result in body["results"]), timing_ms, body)


def _of_task(body: JsonObject, timing_ms: Mapping[str, float]) -> Predictions | UnusableTask:
    if "error" in body:
        return UnusableTask(body["task"], body["version"], body["backbone"], body["error"]["code"], body["error"]["detail"])
    return Predictions.from_json({**body, "timing_ms": timing_ms})


def _result(body: JsonObject) -> Prediction | Unreadable:
    if "error" in body:
        return Unreadable(body["error"]["code"], body["error"]["detail"])
    nearest = tuple(map(Neighbour.from_json, body.get("nearest", ())))
    within = tuple(body["set"]) if body.get("set") is not None else None
    return Prediction(
        body["label"],
        body["probability"],
        body["scores"],
        body.get("known"),
        body.get("novelty"),
        nearest,
        body.get("prediction"),
        within,
        label_set(body.get("labels")),
    )
