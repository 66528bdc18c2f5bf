"""The replies to the several requests of one call, as one reply."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from headstart.errors import InvalidImage
from headstart.replies.predictions import ManyPredictions, Predictions, UnusableTask
from headstart.replies.values import JsonObject

Reply = TypeVar("Reply", Predictions, ManyPredictions)


def joined_many(outcomes: Sequence[ManyPredictions | InvalidImage], names: tuple[str, ...] = ()) -> ManyPredictions:
    """The replies of the same tasks to several requests as one reply. A task that could not answer one request is unusable.

    Raises:
        InvalidImage: every request was refused.
    """
    replies = _answered(outcomes)
    results: list[JsonObject] = []
    for position in range(len(replies[0])):
        failed = next((reply for reply in replies if isinstance(reply.results[position], UnusableTask)), None)
        if failed:
            results.append(failed.raw["results"][position])
            continue
        answers = (outcome if isinstance(outcome, InvalidImage) else outcome.results[position] for outcome in outcomes)
        whole = joined([answer for answer in answers if not isinstance(answer, UnusableTask)])
        results.append({name: value for name, value in whole.raw.items() if name != "timing_ms"})
    whole_reply = ManyPredictions.from_json({"results": results, "timing_ms": _summed(reply.timing_ms for reply in replies)})
    named = (replace(each, names=names) if isinstance(each, Predictions) else each for each in whole_reply)
    return replace(whole_reply, results=tuple(named))


def joined(outcomes: Sequence[Predictions | InvalidImage], names: tuple[str, ...] = ()) -> Predictions:
    """The replies to several requests as one reply.

    The server refuses a request whose only image is unreadable. Among other images, that image becomes an `Unreadable`.

    Raises:
        InvalidImage: every request was refused.
    """
    replies = _answered(outcomes)
    results: list[JsonObject] = []
    for outcome in outcomes:
        if isinstance(outcome, Predictions):
            results += outcome.raw["predictions"]
        else:
            results.append({"error": {"code": outcome.code, "detail": outcome.detail}})
    whole = {**replies[-1].raw, "predictions": results, "timing_ms": _summed(reply.timing_ms for reply in replies)}
    # The last request may have had a single image, which is judged alone.
    if any(reply.mode == "transductive" for reply in replies):
        whole["mode"] = "transductive"
    return replace(Predictions.from_json(whole), names=names)


def _answered(outcomes: Sequence[Reply | InvalidImage]) -> list[Reply]:
    """The replies among the outcomes; raises the first refusal if there are none."""
    replies = [outcome for outcome in outcomes if not isinstance(outcome, InvalidImage)]
    if not replies:
        raise next(outcome for outcome in outcomes if isinstance(outcome, InvalidImage))
    return replies


def _summed(timings: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The milliseconds of each stage over several requests."""
    total: dict[str, float] = {}
    for timing in timings:
        for stage, milliseconds in timing.items():
            total[stage] = total.get(stage, 0.0) + milliseconds
    return total
