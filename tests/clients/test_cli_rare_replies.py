"""What the `headstart` command makes of replies that a server gives rarely."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headstart import InvalidImage
from headstart.__main__ import main
from tests.helpers.scripted_server import PAIR, TASK, Answer, network, problem

Capture = pytest.CaptureFixture[str]

MOMENT = "2026-01-01T00:00:00Z"
PREDICTION = {"label": "a", "probability": 0.9, "scores": {"a": 0.9, "b": 0.1}}


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "1.jpg"
    path.write_bytes(b"\xff\xd8\xff")
    return str(path)


def test_a_task_that_cannot_answer_is_named(image: str, capsys: Capture) -> None:
    error = {"code": "backbone_unavailable", "detail": "its bundle is missing"}
    reply = {
        "results": [{"task": "task_1", "version": 1, "backbone": "b@1", "error": error}],
        "timing_ms": {"total": 1.0},
    }
    with network(Answer(200, TASK), Answer(200, reply)) as (client, _):
        assert main(["predict-many", image, "--task", "task_1", "--url", client.url]) == 1
    assert "headstart: task_1: its bundle is missing (backbone_unavailable)" in capsys.readouterr().err


def test_images_that_were_judged_alone_in_spite_of_transductive_are_remarked_on(image: str, capsys: Capture) -> None:
    reply = {"task": "task_1", "version": 1, "backbone": "b@1", "predictions": [PREDICTION], "timing_ms": {}, "mode": "inductive"}
    with network(Answer(200, TASK), Answer(200, reply)) as (client, sent):
        assert main(["predict", "task_1", image, "--transductive", "--url", client.url]) == 0
    assert "mode=transductive" in sent[-1].path
    assert "each image was judged alone" in capsys.readouterr().err


def test_a_wait_for_a_quota_is_told(image: str, capsys: Capture) -> None:
    reply = {"task": "task_1", "version": 1, "backbone": "b@1", "predictions": [PREDICTION], "timing_ms": {}, "mode": "inductive"}
    used_up = replace(problem(429, "quota_exceeded", "1"), kind="application/problem+json")
    with network(Answer(200, TASK), used_up, Answer(200, reply)) as (client, _):
        assert main(["predict", "task_1", image, "--url", client.url]) == 0
    assert "headstart: a quota is used up; waiting 1 s before another try" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (replace(problem(429, "quota_exceeded"), kind="application/problem+json"), "larger quota"),
        (problem(403, "stored_quota_exceeded"), "`headstart forget` make room"),
    ],
)
def test_a_quota_is_told_with_what_to_do(answer: Answer, advice: str, image: str, capsys: Capture) -> None:
    with network(Answer(200, TASK), answer) as (client, _):
        assert main(["predict", "task_1", image, "--url", client.url]) == 1
    told = capsys.readouterr().err
    assert "headstart: why (" in told
    assert advice in told


def test_an_image_that_was_not_kept_is_not_saved(tmp_path: Path, capsys: Capture) -> None:
    example = {
        "id": "example_1",
        "label": "robin",
        "media_type": "image/jpeg",
        "bytes": 3,
        "image_kept": False,
        "sha256": None,
        "created_at": MOMENT,
    }
    page = {"examples": [example], "next_cursor": None}
    with network(Answer(200, TASK), Answer(200, page), problem(404, "image_not_kept")) as (client, _):
        assert main(["examples", "task_1", "--save", str(tmp_path / "saved"), "--url", client.url]) == 1
    out, err = capsys.readouterr()
    assert "Saved 0 examples" in out
    assert "the server did not keep the images of 1 example." in err
    assert not any((tmp_path / "saved").iterdir())


def test_a_refusal_that_names_no_image_is_passed_on() -> None:
    with network(problem(422, "image_broken")) as (client, sent), pytest.raises(InvalidImage) as raised:
        client.create_task("n", PAIR, broken=lambda *_: None)
    assert (len(sent), raised.value.detail, raised.value.images) == (1, "why", ())


def test_an_error_of_the_server_is_named_by_its_request(capsys: Capture) -> None:
    with network(problem(500, "internal_error")) as (client, _):
        assert main(["list", "--url", client.url]) == 1
    assert "The server's log names this request req_1." in capsys.readouterr().err


def refresh(state: str, tasks: dict[str, int]) -> dict[str, Any]:
    return {
        "id": "refresh_1",
        "to": "b@2",
        "max_drop": 0.02,
        "state": state,
        "reason": None,
        "tasks": tasks,
        "images": {"done": 1, "total": 9},
        "images_per_second": None,
        "seconds_left": None,
        "accuracy": None,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    }


def test_a_refresh_of_no_tasks_has_no_tables(capsys: Capture) -> None:
    page: dict[str, Any] = {"tasks": [], "next_cursor": None}
    with network(Answer(200, refresh("finished", {})), Answer(200, page)) as (client, _):
        assert main(["refreshes", "show", "refresh_1", "--url", client.url]) == 0
    assert capsys.readouterr().out == "Refresh refresh_1 onto b@2: finished.\n"


def test_ctrl_c_while_a_refresh_is_watched_says_that_it_goes_on() -> None:
    with network(Answer(200, refresh("running", {"waiting": 1}))) as (client, sent):
        command = [sys.executable, "-m", "headstart", "refreshes", "follow", "refresh_1", "--url", client.url]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(sent) < 2:  # It watches.
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Moving: 1 of 9 images" in err
    assert "Stopped watching; the server goes on. To watch again: headstart refreshes follow refresh_1" in err
    assert "Traceback" not in err
