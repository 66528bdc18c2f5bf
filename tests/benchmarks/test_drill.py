"""The drill's own judgement, and the drill itself at toy size where namespaces, HAProxy and PostgreSQL can be had."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.drill import postgres
from benchmarks.drill.client import Answer
from benchmarks.drill.history import Step, Task, differs, expected_scores
from benchmarks.drill.load import Done
from benchmarks.drill.report import Struck, full_rate, outside
from models.heads.head import BackboneRef, EmbeddingSpace, Head
from models.manifest import HeadOptions


def task(*steps: Step) -> Task:
    return Task("task_1", list(steps))


CHANGED = task(Step(1, 0.0, 1.0, 10), Step(2, 5.0, 6.0, 20), Step(None, 9.0, 9.5, 30))


@pytest.mark.parametrize(
    ("version", "sent", "received", "token", "may"),
    [
        (1, 2.0, 2.1, 0, True),
        (2, 2.0, 2.1, 0, False),  # nobody had asked for it
        (1, 6.4, 6.6, 0, True),  # stale by less than half a second
        (1, 6.6, 6.7, 0, False),
        (1, 6.1, 6.2, 20, False),  # the client knew of the change
        (1, 5.9, 6.2, 10, True),
        (2, 5.1, 5.2, 0, True),  # the change was under way
        (None, 8.0, 8.5, 0, False),
        (None, 8.0, 9.1, 0, True),
        (2, 10.1, 10.2, 0, False),  # deleted
        (3, 7.0, 7.1, 0, False),
    ],
)
def test_an_answer_may_come_of_what_was_active(version: int | None, sent: float, received: float, token: int, may: bool) -> None:
    assert CHANGED.may_answer(version, sent, received, token) is may


def test_a_version_that_was_active_twice_may_answer_twice() -> None:
    rolled_back = task(Step(1, 0.0, 1.0, 1), Step(2, 5.0, 6.0, 2), Step(1, 9.0, 10.0, 3))
    assert rolled_back.may_answer(1, 2.0, 2.1, 0)
    assert not rolled_back.may_answer(1, 7.0, 7.1, 0)
    assert rolled_back.may_answer(1, 12.0, 12.1, 3)


@pytest.mark.parametrize("centre", [False, True])
def test_expected_scores_are_those_of_the_head(centre: bool) -> None:
    rng = np.random.default_rng(0)
    options, backbone = HeadOptions(solver="ridge", C=1.0, temperature=0.3, centre=centre), BackboneRef("b@1", "0")
    weight, bias = rng.normal(size=(3, 8)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    head = Head(("a", "b", "c"), weight, bias, options, backbone)
    embedding, mean = rng.normal(size=8).astype(np.float32), rng.normal(size=8).astype(np.float32)
    served = dict(zip("abc", head.probabilities(embedding[None], EmbeddingSpace(backbone, mean))[0], strict=True))
    expected = expected_scores(head, embedding, mean)
    assert not differs(served, expected, tolerance=1e-6)
    assert differs(served, {**expected, "a": expected["a"] + 0.01})
    assert differs(served, {"a": 1.0})


def test_the_full_rate_is_back_when_all_is_well_again() -> None:
    done = [Done("predict", number / 10, number / 10 + 0.1, fine=number > 42) for number in range(100)]
    moment = full_rate(done, 2.0, 10.0, rate=10.0)
    assert moment is not None
    assert 4.2 < moment < 4.4
    assert full_rate(done, 2.0, 5.0, rate=10.0) is None, "too short a time"
    assert full_rate(done, 5.0, 10.0, rate=20.0) is None, "not as much as it should be"


def test_failures_count_where_nothing_was_broken() -> None:
    fault = Struck("one", False, False, 10.0, 20.0, 30.0)
    answers = [Answer("predict", sent, sent + 0.1, 503, "503", True) for sent in (5.0, 12.0, 24.9, 26.0)]
    assert [each.sent for each in outside([fault], answers)] == [5.0, 26.0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("drill", ("--minutes", "0", "--only", "replica killed")),
        ("replicas", ("--seconds", "1", "--requests", "8", "--additions", "2", "--servers", "1")),
    ],
)
def test_the_commands_run(name: str, flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := postgres.missing():
        pytest.skip(reason)
    figures = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", [name, *flags, "--json", str(figures)])
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    found = json.loads(figures.read_text())
    assert found["wrong"] == [] if name == "drill" else len(found) == 4
