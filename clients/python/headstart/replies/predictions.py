"""What images were recognised as: one result for each, and no way to take an unreadable one for a label."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self, overload

from headstart.errors import InvalidImage, UnreadableImages
from headstart.replies.tasks import JsonObject, summed


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An example that an image resembles.

    Attributes:
        similarity: cosine of their features, 1 for the same pixels.
        file_name: what the example's file was called, None where that is not known.
    """

    example: str
    label: str
    similarity: float
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one image was recognised as.

    Attributes:
        scores: probabilities by label, the most probable first.
        known: False for a stranger, "none of these": then `label` is only the likest of the task's classes. None where no verdict
            was asked for.
        novelty: 0 for what looks like the task's classes, 1 for a stranger; the verdict turns at ½.
        nearest: the examples it most resembles, the most similar first; `Client.example_image` fetches them.
    """

    label: str
    probability: float
    scores: Mapping[str, float]
    known: bool | None = None
    novelty: float | None = None
    nearest: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in the place of an image that could not be read.

    It has no label, so that code which forgets about it fails, for the type checker and when it runs.
    """

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Predictions(Sequence[Prediction | Unreadable]):
    """One result for every image, in the order of the call.

    Attributes:
        version: of the task. A call of several requests, between which the task changed, shows the last.
        mode: "transductive" if images were judged in one another's light, and "inductive" if each alone, which is so too where it
            was asked for but would not help.
        timing_ms: decode, embed, head and total on the server, summed over the requests of the call.
        raw: the JSON as it arrived, the replies of several requests joined into one.
        names: of the images: paths, or their places in the call.
    """

    task: str
    version: int
    backbone: str
    results: tuple[Prediction | Unreadable, ...]
    timing_ms: Mapping[str, float]
    raw: JsonObject = field(repr=False, compare=False)
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)
    mode: str = "inductive"

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
            mode=body.get("mode", "inductive"),  # Earlier servers, and replies of many tasks, do not tell.
        )


@dataclass(frozen=True, slots=True)
class UnusableTask:
    """Stands in the place of a task that could not be asked; like `Unreadable`, it has nothing to be taken for an answer."""

    task: str
    version: int
    backbone: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class ManyPredictions:
    """What each of several tasks said, in the order asked; of all tasks, the newest first.

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
        """The tasks that could not be asked."""
        return tuple(result for result in self.results if isinstance(result, UnusableTask))

    @property
    def unreadable(self) -> dict[int, Unreadable]:
        """The images that could not be read, by their position in the call; for one task they are so for every other."""
        return next((result.unreadable for result in self.results if isinstance(result, Predictions)), {})

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        timing_ms = body["timing_ms"]
        return cls(tuple(_of_task(result, timing_ms) for result in body["results"]), timing_ms, body)


def joined_many(outcomes: Sequence[ManyPredictions | InvalidImage], names: tuple[str, ...] = ()) -> ManyPredictions:
    """`joined`, for replies of the same tasks. A task that could not be asked once is unusable.

    Raises:
        InvalidImage: there is nothing but refusals.
    """
    replies = [outcome for outcome in outcomes if isinstance(outcome, ManyPredictions)]
    if not replies:
        raise next(outcome for outcome in outcomes if isinstance(outcome, InvalidImage))
    results: list[JsonObject] = []
    for position in range(len(replies[0])):
        failed = next((reply for reply in replies if isinstance(reply.results[position], UnusableTask)), None)
        if failed:
            results.append(failed.raw["results"][position])
            continue
        answers = (outcome if isinstance(outcome, InvalidImage) else outcome.results[position] for outcome in outcomes)
        whole = joined([answer for answer in answers if not isinstance(answer, UnusableTask)])
        results.append({name: value for name, value in whole.raw.items() if name != "timing_ms"})
    whole_reply = ManyPredictions.from_json({"results": results, "timing_ms": summed(reply.timing_ms for reply in replies)})
    named = (replace(each, names=names) if isinstance(each, Predictions) else each for each in whole_reply)
    return replace(whole_reply, results=tuple(named))


def joined(outcomes: Sequence[Predictions | InvalidImage], names: tuple[str, ...] = ()) -> Predictions:
    """The replies to several requests as the reply to one.

    The server refuses a request whose only image is unreadable; among others that image takes its own place.

    Raises:
        InvalidImage: there is nothing but such refusals.
    """
    replies = [outcome for outcome in outcomes if isinstance(outcome, Predictions)]
    if not replies:
        raise next(outcome for outcome in outcomes if isinstance(outcome, InvalidImage))
    results: list[JsonObject] = []
    for outcome in outcomes:
        if isinstance(outcome, Predictions):
            results += outcome.raw["predictions"]
        else:
            results.append({"error": {"code": outcome.code, "detail": outcome.detail}})
    whole = {**replies[-1].raw, "predictions": results, "timing_ms": summed(reply.timing_ms for reply in replies)}
    # The last request may have had one image only, which is judged alone.
    if any(reply.mode == "transductive" for reply in replies):
        whole["mode"] = "transductive"
    return replace(Predictions.from_json(whole), names=names)


def _of_task(body: JsonObject, timing_ms: Mapping[str, float]) -> Predictions | UnusableTask:
    if "error" in body:
        return UnusableTask(body["task"], body["version"], body["backbone"], body["error"]["code"], body["error"]["detail"])
    return Predictions.from_json({**body, "timing_ms": timing_ms})


def _result(body: JsonObject) -> Prediction | Unreadable:
    if "error" in body:
        return Unreadable(body["error"]["code"], body["error"]["detail"])
    nearest = tuple(
        Neighbour(each["example"], each["label"], each["similarity"], each.get("file_name")) for each in body.get("nearest", ())
    )
    return Prediction(body["label"], body["probability"], body["scores"], body.get("known"), body.get("novelty"), nearest)
