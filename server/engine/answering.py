"""The questions about a batch, answered on the thread that has its embeddings, and what each caller is given."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from itertools import accumulate

from models.answers.question import Answer, Question
from models.arrays import Array
from server.engine.queue import Entry, Result
from server.errors import EngineFailed

Answers = Callable[[Array, Sequence[tuple[Question, slice]]], Sequence[Answer]]
"""Answers questions from the embeddings of a batch, each about some of the rows, as `models.answers.on_host.HostAnswers` does."""

_log = logging.getLogger(__name__)


def results_of(batch: Sequence[Entry], embeddings: Array, answers: Answers) -> list[Result | None]:
    """Returns the result of each entry, with the questions answered; None where an answer failed."""
    ends = list(accumulate(len(entry.pixels) for entry in batch))
    rows = [slice(end - len(entry.pixels), end) for entry, end in zip(batch, ends, strict=True)]
    asked = {at: (entry.question, rows[at]) for at, entry in enumerate(batch) if entry.question is not None}
    started = time.perf_counter()
    answered = dict(zip(asked, _answered(embeddings, list(asked.values()), answers), strict=True))
    seconds = time.perf_counter() - started
    return [
        None if at in asked and answered[at] is None else Result(embeddings[own], answered.get(at), seconds)
        for at, own in enumerate(rows)
    ]


def failed() -> Exception:
    """Returns the error of images that the engine failed on."""
    return EngineFailed("the engine failed on this batch; try again")


def tell(entries: Collection[Entry], results: Sequence[Result | None] | None, error: Callable[[], Exception] = failed) -> None:
    """Gives each entry its result, or the error. It wakes the event loop once for all of them."""
    if entries:
        loop = next(iter(entries)).result.get_loop()
        with suppress(RuntimeError):  # The loop was closed: nobody waits any more.
            loop.call_soon_threadsafe(_hand_out, entries, results, error)


def _answered(embeddings: Array, asked: Sequence[tuple[Question, slice]], answers: Answers) -> Sequence[Answer | None]:
    """Returns the answers; None for one that fails by itself, which must not spoil the others."""
    try:
        return answers(embeddings, asked) if asked else []
    except Exception:
        _log.exception("%d questions failed together; each is asked by itself", len(asked))
        if len(asked) == 1:
            return [None]
        return [answer for each in asked for answer in _answered(embeddings, [each], answers)]


def _hand_out(entries: Collection[Entry], results: Sequence[Result | None] | None, error: Callable[[], Exception]) -> None:
    for position, entry in enumerate(entries):
        if entry.result.done():  # Its caller may have been cancelled meanwhile.
            continue
        if results is None or (result := results[position]) is None:
            entry.result.set_exception(error())
        else:
            entry.result.set_result(result)
