"""The client and the command line at a server that has keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart import Client, Forbidden, Unauthenticated
from headstart.__main__ import main
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess, run_server

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "data"


@pytest.fixture(scope="module")
def keys(data_dir: Path) -> dict[str, str]:
    def made(scope: str) -> str:
        flags = ("--tenant", "birds", "--scope", scope, "--data-dir", str(data_dir))
        return run_server("keys", "create", *flags, folder=data_dir.parent).stdout.strip()

    return {scope: made(scope) for scope in ("predict", "write")}


@pytest.fixture(scope="module")
def server(data_dir: Path, keys: dict[str, str], small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    assert keys
    with ServerProcess(data_dir, *small_flags) as process:
        yield process


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)
    monkeypatch.delenv("HEADSTART_TOKEN", raising=False)


def test_a_client_with_a_key_does_what_the_key_allows(server: ServerProcess, keys: dict[str, str], support: Labelled) -> None:
    with Client(server.url) as stranger:
        assert stranger.ready(), "health is for everybody"
        with pytest.raises(Unauthenticated) as refused:
            list(stranger.tasks())
    assert (refused.value.status, refused.value.code) == (401, "unauthenticated")
    with Client(server.url, token=keys["write"]) as writer:
        task = writer.create_task("keyed", support).id
    with Client(server.url, token=keys["predict"]) as reader:
        assert reader.predict(task, [image for _, image in support[:3]]).checked()
        with pytest.raises(Forbidden):
            reader.add_examples(task, support[:2])


def test_the_command_line_takes_a_key(keys: dict[str, str], capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["list"]) == 1
    assert "--token or HEADSTART_TOKEN" in capsys.readouterr().err
    assert main(["--token", keys["predict"], "list"]) == 0
    assert main(["list", "--token", keys["predict"]]) == 0
    monkeypatch.setenv("HEADSTART_TOKEN", keys["predict"])
    assert main(["list"]) == 0
    capsys.readouterr()
    assert main(["events"]) == 1
    said = capsys.readouterr().err
    assert "keys that allow more" in said
    assert keys["predict"] not in said
