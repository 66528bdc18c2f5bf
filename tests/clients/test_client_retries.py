"""The Python SDK on a network that fails: what is sent again, how often, and what never."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from benchmarks.server_process import free_port
from headstart import (
    BackboneUnavailable,
    Client,
    HeadstartError,
    NotFound,
    Overloaded,
    QuotaExceeded,
    ServerUnreachable,
    StoredQuotaExceeded,
    TaskNotFound,
    Unavailable,
    UnexpectedReply,
)
from headstart.http.exchange import TRIES
from tests.helpers.scripted_server import LOST, PAIR, TASK, Answer, network, problem

BUSY = problem(503, "overloaded", "0")
BEHIND = Answer(502, b"a proxy's own page")
PREDICTED = Answer(200, {"task": "t", "version": 1, "backbone": "b@1", "predictions": [], "timing_ms": {}})

CALLS: dict[str, tuple[Answer, Callable[[Client], object]]] = {
    "create": (Answer(201, TASK), lambda client: client.create_task("n", PAIR)),
    "add": (Answer(201, TASK), lambda client: client.add_examples("task_1", PAIR)),
    "predict": (PREDICTED, lambda client: client.predict("task_1", b"1")),
    "task": (Answer(200, TASK), lambda client: client.task("task_1")),
    "activate": (Answer(200, TASK), lambda client: client.activate("task_1", 1)),
    "delete": (Answer(204, b""), lambda client: client.delete("task_1")),
}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a try that the server gave no time for; how long they are is in no test."""
    monkeypatch.setattr("headstart.http.exchange.FIRST_PAUSE", 0.01)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("failure", [BUSY, problem(429, "overloaded"), BEHIND, LOST], ids=["503", "429", "502", "lost"])
def test_a_failed_try_is_repeated_as_the_same_request(name: str, failure: Answer | None) -> None:
    answer, call = CALLS[name]
    with network(failure, answer) as (client, sent):
        call(client)
    first, second = sent
    assert first == second
    assert (first.key is not None) == (name in {"create", "add"})


def test_what_an_answer_must_know_is_sent_with_every_later_request() -> None:
    changes = [Answer(201, TASK, at_least=told) for told in ("9", "10", "8", "none of ours")]
    with network(*changes, BUSY, Answer(200, TASK)) as (client, sent):
        for _ in changes:
            client.add_examples("task_1", PAIR)
        client.task("task_1")
    assert [each.at_least for each in sent] == [None, "9", "10", "10", "10", "10"]


@pytest.mark.parametrize("failure", [BEHIND, problem(503, "storage_failed", "0", "the change may have been stored")])
def test_a_removal_that_was_done_though_its_answer_was_lost_is_one(failure: Answer) -> None:
    with network(failure, problem(404, "task_not_found")) as (client, sent):
        client.delete("task_1")
    assert len(sent) == 2


def test_every_creation_has_a_key_of_its_own() -> None:
    with network(Answer(201, TASK)) as (client, sent):
        client.create_task("n", PAIR)
        client.create_task("n", PAIR)
    first, second = (each.key for each in sent)
    assert first != second


@pytest.mark.parametrize("as_date", [False, True])
def test_the_server_says_how_long_to_wait(as_date: bool) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    with network(problem(503, "storage_failed", moment if as_date else "1"), Answer(200, TASK)) as (client, _):
        started = time.monotonic()
        client.task("task_1")
    assert 1 <= time.monotonic() - started < 4


def test_nobody_waits_an_hour() -> None:
    with network(problem(503, "backbone_unavailable", "3600")) as (client, sent), pytest.raises(Unavailable) as raised:
        client.task("task_1")
    assert len(sent) == 1
    assert raised.value.retry_after == 3600


def test_a_refusal_that_stays_is_not_repeated() -> None:
    """The server says `Retry-After` where waiting helps; one of its refusals without it comes at once. A proxy's is repeated."""
    refusal = problem(503, "backbone_unavailable")
    with network(replace(refusal, kind="application/problem+json")) as (client, sent), pytest.raises(BackboneUnavailable):
        client.predict("task_1", b"1")
    assert len(sent) == 1
    with network(refusal, PREDICTED) as (client, sent):
        client.predict("task_1", b"1")
    assert len(sent) == 2


def test_a_quota_of_the_minute_is_waited_for_and_one_of_what_is_stored_is_not() -> None:
    used_up = replace(problem(429, "quota_exceeded", "0"), kind="application/problem+json")
    with network(used_up, used_up, PREDICTED) as (client, sent):
        client.predict("task_1", b"1")
    assert len(sent) == 3
    with network(used_up) as (client, sent), pytest.raises(QuotaExceeded):
        client.predict("task_1", b"1")
    assert len(sent) == TRIES
    with network(replace(used_up, retry_after=None)) as (client, sent), pytest.raises(QuotaExceeded):
        client.predict("task_1", b"1")
    assert len(sent) == 1, "it can never pass"
    with network(problem(403, "stored_quota_exceeded")) as (client, sent), pytest.raises(StoredQuotaExceeded):
        client.create_task("n", PAIR)
    assert len(sent) == 1


def test_tries_are_bounded() -> None:
    with network(BUSY) as (client, sent), pytest.raises(Overloaded):
        client.task("task_1")
    assert len(sent) == TRIES
    with network(LOST) as (client, sent), pytest.raises(ServerUnreachable):
        client.task("task_1")
    assert len(sent) == TRIES


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 415, 418, 422, 500])
def test_other_refusals_are_never_repeated(status: int) -> None:
    with network(problem(status, "younger_than_this_client")) as (client, sent), pytest.raises(HeadstartError):
        client.predict("task_1", b"1")
    assert len(sent) == 1


def test_a_late_answer_is_not_asked_for_again() -> None:
    with network(Answer(200, TASK, after=1), timeout=0.5) as (client, sent), pytest.raises(ServerUnreachable, match="timed out"):
        client.task("task_1")
    assert len(sent) == 1


def test_a_deletion_whose_answer_was_lost_is_a_deletion() -> None:
    gone = problem(404, "task_not_found")
    with network(LOST, gone) as (client, _):
        client.delete("task_1")
    with network(LOST, problem(404, "example_not_found"), Answer(200, TASK)) as (client, sent):
        assert client.remove_example("task_1", "example_1").id == "task_1"
    assert [each.method for each in sent] == ["DELETE", "DELETE", "GET"]
    with network(problem(503, "erasure_pending", "0"), gone) as (client, _):
        client.delete("task_1")
    with network(BUSY, gone) as (client, _), pytest.raises(TaskNotFound):
        client.delete("task_1")


def test_nothing_listens() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url) as client, pytest.raises(ServerUnreachable, match=url):
        list(client.tasks())


def test_what_is_unknown_is_tolerated_in_replies_and_kept() -> None:
    with network(Answer(200, TASK)) as (client, _):
        assert client.task("task_1").raw["invented_later"] == {"more": True}


def test_an_unknown_code_falls_back_to_its_status() -> None:
    with network(problem(404, "younger_than_this_client")) as (client, _), pytest.raises(NotFound) as raised:
        client.task("task_1")
    assert (raised.value.code, raised.value.detail, raised.value.request_id) == ("younger_than_this_client", "why", "req_1")


@pytest.mark.parametrize("answer", [Answer(200, b"<html>"), Answer(404, b"<html>"), Answer(200, {"id": 1}), Answer(200, [])])
def test_another_service_is_told_apart(answer: Answer) -> None:
    with network(answer) as (client, _), pytest.raises(UnexpectedReply, match="not this API"):
        client.task("task_1")


def test_limits_are_asked_for_once_and_only_for_several_images() -> None:
    limits = Answer(200, {"body_bytes": 64_000_000, "images": 256, "new_examples": 1024})
    with network(PREDICTED, limits, PREDICTED) as (client, sent):
        client.predict("task_1", b"1")
        client.predict("task_1", [b"1", b"2"])
        client.predict("task_1", [b"1", b"2"])
    assert [each.path.partition("?")[0] for each in sent] == [
        "/v1/tasks/task_1/predict",
        "/v1/limits",
        "/v1/tasks/task_1/predict",
        "/v1/tasks/task_1/predict",
    ]


def test_a_server_that_is_too_old_to_tell_its_limits_gets_the_usual_requests() -> None:
    with network(problem(404, "not_found"), PREDICTED) as (client, sent):
        client.predict("task_1", [b"1"] * 300)
    assert [each.body.count(b'name="images"') for each in sent] == [0, 256, 44]
