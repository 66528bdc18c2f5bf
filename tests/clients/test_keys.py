"""The client and the command line at a server that has keys."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked, PasswordDeleteError

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


class Keyring(KeyringBackend):
    """A keyring of the system, in memory.

    Attributes:
        asked: how often a password was asked for.
    """

    priority = 5

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        self._check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError

    def _check(self) -> None:
        if self.locked:
            raise KeyringLocked


@pytest.fixture(autouse=True)
def no_keyring() -> Iterator[None]:
    """The machine of the tests may have one, which is none of theirs."""
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())  # type: ignore[no-untyped-call]
    yield
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
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
    assert "headstart login" in capsys.readouterr().err
    assert main(["--token", keys["predict"], "list"]) == 0
    assert main(["list", "--token", keys["predict"]]) == 0
    monkeypatch.setenv("HEADSTART_TOKEN", keys["predict"])
    assert main(["list"]) == 0
    capsys.readouterr()
    assert main(["events"]) == 1
    said = capsys.readouterr().err
    assert "keys that allow more" in said
    assert keys["predict"] not in said


def test_a_login_is_kept_for_its_server_alone(
    server: ServerProcess, keys: dict[str, str], capsys: Printed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "config" / "headstart" / "keys.json"

    def login(typed: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        return main(["login"])

    assert login(f"{keys['predict'][:-1]}x\n") == 1
    assert login("\n") == 2
    assert not file.exists(), "a key that is not valid is not kept"
    capsys.readouterr()
    assert login(f"{keys['predict']}\n") == 0
    assert capsys.readouterr().out == "tenant birds, scope predict\n"
    assert json.loads(file.read_text()) == {server.url: keys["predict"]}
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert main(["list"]) == 0
    assert main(["events"]) == 1, "forbidden"
    monkeypatch.setenv("HEADSTART_TOKEN", keys["write"])
    assert main(["events"]) == 0, "the environment comes first"
    monkeypatch.delenv("HEADSTART_TOKEN")
    assert main(["list", "--url", server.url.replace("127.0.0.1", "localhost")]) == 1, "another address"
    file.write_text("{")
    assert main(["list"]) == 1, "a file that is broken holds no key"
    assert login(keys["write"]) == 0
    assert main(["logout"]) == 0
    assert json.loads(file.read_text()) == {}
    assert main(["list"]) == 1
    assert keys["write"] not in capsys.readouterr().err


def test_a_login_is_kept_in_the_keyring_of_the_system(
    server: ServerProcess, keys: dict[str, str], capsys: Printed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, system = tmp_path / "config" / "headstart" / "keys.json", Keyring()
    keyring.set_keyring(system)

    def login(scope: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(keys[scope]))
        assert main(["login"]) == 0
        return capsys.readouterr().err

    assert main(["list"]) == 1
    assert main(["logout"]) == 0
    assert not system.asked, "no key was kept"
    assert "keyring" in login("predict")
    assert json.loads(file.read_text()) == {server.url: None}
    assert system.kept == {("headstart", server.url): keys["predict"]}
    assert main(["list"]) == 0
    system.locked = True
    assert main(["list"]) == 1
    assert "file" in login("write"), "a keyring that is locked keeps nothing"
    assert json.loads(file.read_text()) == {server.url: keys["write"]}
    assert main(["events"]) == 0
    system.locked = False
    assert "keyring" in login("predict")
    assert keys["write"] not in file.read_text()
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert main(["list"]) == 1, "the package is gone"
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HEADSTART_URL", server.url)
    assert main(["logout"]) == 0
    assert (system.kept, json.loads(file.read_text())) == ({}, {})
    assert main(["logout"]) == 0
