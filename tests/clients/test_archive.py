"""A task saved as an archive by the client and the command line: a whole file, or none."""

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headstart import Client, ServerUnreachable, Task, TaskNotFound
from headstart.__main__ import main
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("archive") / "data", *small_flags) as process:
        yield process


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def task(client: Client, support: Labelled) -> Task:
    return client.create_task("My/task", support[::5])


def test_the_client_saves_what_the_server_sends(client: Client, api: httpx.Client, task: Task, tmp_path: Path) -> None:
    file = tmp_path / "saved.zip"
    file.write_bytes(b"an earlier one")
    client.archive(task.id, file)
    assert file.read_bytes() == api.get(f"/v1/tasks/{task.id}/archive").content
    assert [*tmp_path.iterdir()] == [file]


def test_no_half_file_is_left(client: Client, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TaskNotFound):
        client.archive("task_none", tmp_path / "none.zip")

    def break_off(_response: httpx.Response) -> Iterator[bytes]:
        yield b"PK"
        raise httpx.RemoteProtocolError("peer closed connection")

    monkeypatch.setattr(httpx.Response, "iter_bytes", break_off)
    with pytest.raises(ServerUnreachable, match="broke off"):
        client.archive(task.id, tmp_path / "half.zip")
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(FileNotFoundError):
        client.archive(task.id, tmp_path / "folder" / "a.zip")


@pytest.mark.parametrize(
    ("command", "made"),
    [
        (["export", "--format", "archive", "--out", "out"], ["out"]),
        (["examples", "--save", "out"], ["out", "out-none-of-these"]),
        (["classifier", "out.safetensors"], ["out.safetensors"]),
    ],
)
def test_a_broken_connection_leaves_nothing_that_looks_whole(
    command: list[str], made: list[str], client: Client, support: Labelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever request it breaks at, the same command works afterwards."""
    task = client.create_task("broken off", [*support[::5], (None, support[1][1])])
    client.predict(task.id, [support[2][1]], remember=True)
    run = [command[0], task.id, *command[1:]]
    send, sent = httpx.Client.send, 0

    def breaks_after(requests: int) -> Callable[..., httpx.Response]:
        def sends(*arguments: Any, **options: Any) -> httpx.Response:
            nonlocal sent
            sent += 1
            if sent > requests:
                raise httpx.ReadError("connection reset by peer")
            return send(*arguments, **options)

        return sends

    monkeypatch.setattr("headstart.http.exchange.TRIES", 1)
    for requests in range(20):
        sent = 0
        monkeypatch.setattr(httpx.Client, "send", breaks_after(requests))
        code = main(run)
        if sent <= requests:
            break
        assert code == 3
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == [], f"after {requests} requests"
    assert (code, requests > 1) == (0, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == made


def test_the_command_saves_to_a_new_file(client: Client, task: Task, tmp_path: Path, capsys: Printed) -> None:
    assert main(["archive", task.id]) == 0
    assert "Saved version 1 of My/task to My_task.zip." in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "My_task.zip") as archive:
        assert archive.testzip() is None
    assert main(["archive", task.id]) == 2
    assert "My_task.zip exists" in capsys.readouterr().err
    assert main(["--json", "archive", task.id, "other.zip"]) == 0
    assert json.loads(capsys.readouterr().out) == {"task": task.id, "file": "other.zip"}
    assert client.task(task.id).version == 1
