"""Events in the client and on the command line, against a real server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from headstart import Client, Task
from headstart.__main__ import main
from headstart.cli.commands import events
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("events") / "data", *small_flags) as process:
        yield process


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)


@pytest.fixture
def task(client: Client, support: Labelled) -> Task:
    return client.create_task(None, support[::5] + support[1::5])


def test_the_client_pages_through_them(client: Client, api: httpx.Client, task: Task, support: Labelled) -> None:
    before = client.events(after="latest")
    assert (before.events, before.missed) == ((), False)
    client.add_examples(task.id, support[2::5])
    client.activate(task.id, 1)
    client.delete(task.id)
    page = client.events(after=before.next, limit=2)
    assert page.raw == api.get("/v1/events", params={"after": before.next, "limit": 2}).json()
    created, activated = page.events
    assert (created.type, created.task, created.version, created.version_before) == ("version_created", task.id, 2, 1)
    assert created.change == "added"
    assert (activated.type, activated.version) == ("version_activated", 1)
    deleted = client.events(after=page.next).events[-1]  # Before it quality may have fallen.
    assert (deleted.type, deleted.version) == ("task_deleted", None)
    assert client.events().events[-1] == deleted


def test_a_number_of_captures_is_set_and_unset(client: Client, task: Task, capsys: Printed) -> None:
    assert client.set_capture(task.id, notify=5).capture.notify == 5
    assert client.set_capture(task.id, days=3).capture.notify == 5
    assert client.set_capture(task.id, notify="never").capture.notify is None
    assert main(["capture", task.id, "--notify", "7"]) == 0
    assert "An event tells when there are 7." in capsys.readouterr().out
    assert main(["capture", task.id, "--notify", "never"]) == 0
    assert client.task(task.id).capture.notify is None


def test_the_command_lists_them(client: Client, task: Task, capsys: Printed) -> None:
    start = client.events(after="latest").next
    assert main(["events", "--after", start]) == 0
    assert "Nothing has happened." in capsys.readouterr().out
    client.delete(task.id)
    assert main(["events", "--after", start]) == 0
    printed = capsys.readouterr()
    assert "task_deleted" in printed.out
    now = client.events(after="latest").next
    assert f"headstart events --after {now}" in printed.err
    assert main(["--json", "events"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["next"], body["missed"]) == (now, False)
    assert [event["task"] for event in body["events"]][-1] == task.id
    assert main(["events", "--after", "event_9999-00000000"]) == 0
    assert "events before these have left" in capsys.readouterr().err
    assert main(["events", "--after", "yesterday"]) == 1
    assert "(invalid_request)" in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [False, True])
def test_following_waits_for_a_server_that_is_started_again(
    tmp_path: Path,
    small_flags: tuple[str, ...],
    support: Labelled,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Printed,
    as_json: bool,
) -> None:
    servers = [ServerProcess(tmp_path / "data", *small_flags)]
    port = int(servers[0].url.rpartition(":")[2])
    tasks: list[str] = []

    def create() -> None:
        with Client(servers[-1].url) as client:
            tasks.append(client.create_task(None, support[::5]).id)

    def stop() -> None:
        assert servers[-1].stop() == 0

    def start_again() -> None:
        servers.append(ServerProcess(tmp_path / "data", *small_flags, port=port))
        create()

    def interrupt() -> None:
        raise KeyboardInterrupt

    meanwhile: Iterator[Callable[[], None]] = iter((create, stop, start_again, interrupt))
    monkeypatch.setattr(events, "sleep", lambda _seconds: next(meanwhile)())
    monkeypatch.setattr("headstart.http.exchange.TRIES", 1)
    create()
    command = ["events", "--follow", "--url", servers[0].url, *(["--json"] if as_json else [])]
    assert main(command) == 130
    stop()
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [next(task for task in tasks if task in line) for line in lines] == tasks
    if as_json:
        assert [json.loads(line)["type"] for line in lines] == ["version_created"] * 3
    assert printed.err.count("waiting for the server") == 1
    assert "To go on: headstart events --follow --after event_3-" in printed.err
    assert "Traceback" not in printed.err
