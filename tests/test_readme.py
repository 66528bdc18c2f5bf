"""What README has people type: it does what README says, or its targets are there where it would install or train."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.server_process import ROOT
from headstart.__main__ import main
from tests.helpers.markdown import Document
from tests.helpers.samples import SAMPLES
from tests.helpers.servers import RealServer

README = Document(ROOT / "README.md", (ROOT / "README.md").read_text())


def test_the_environment_for_training_has_every_command_that_is_used_in_it() -> None:
    text = README.text
    (installed,) = re.findall(r"\.venv-train/bin/pip install (.+?) &&", text)
    scripts: set[str] = set()
    for target in installed.replace("'", "").split():
        folder = ROOT / target.partition("[")[0]
        scripts |= set(tomllib.loads((folder / "pyproject.toml").read_text())["project"]["scripts"])
    used = {word for line in text.partition(".venv-train")[2].splitlines() for word in re.findall(r"^headstart[\w-]*", line)}
    assert used == {"headstart", "headstart-server", "headstart-train"}
    assert used <= scripts


def test_its_first_commands_are_targets_of_make_and_the_last_is_what_ci_runs() -> None:
    first, *_ = README.blocks()
    assert list(first.commands()) == [["make", "demo"], ["make", "serve"], ["make", "test"]]
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goes where a reader types: beside the repository's samples, and photographs of their own."""
    (tmp_path / "clients").symlink_to(ROOT / "clients")
    (tmp_path / "my-photos").symlink_to(SAMPLES / "support")
    (tmp_path / "unseen.jpg").symlink_to(SAMPLES / "query" / "windmill" / "rhodes.jpg")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server of this module alone, since README's names may be taken in the one that others use."""
    with RealServer(tmp_path_factory.mktemp("readme") / "data") as process:
        yield process


@pytest.fixture
def tidied(api: httpx.Client) -> Iterator[None]:
    """Removes the tasks that the test leaves, since names are taken once."""
    before = _tasks(api)
    yield
    for task in _tasks(api):
        if task not in before:
            api.delete(f"/v1/tasks/{task}").raise_for_status()


def _tasks(api: httpx.Client) -> list[str]:
    """The newest first."""
    return [task["id"] for task in api.get("/v1/tasks", params={"limit": 1000}).json()["tasks"]]


@pytest.mark.usefixtures("directory", "tidied")
def test_its_headstart_commands_do_what_it_says(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)
    commands = [words for block in README.blocks() for words in block.commands() if words[0] == ".venv/bin/headstart"]
    assert len(commands) == 16
    for _, *words in commands:
        arguments = [file for word in words for file in _expanded(word)]
        assert main(arguments) == 0, arguments


def _expanded(word: str) -> list[str]:
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.usefixtures("directory", "tidied")
def test_its_curl_commands_answer_what_it_shows(server: RealServer, api: httpx.Client) -> None:
    (block,) = (block for block in README.blocks() if block.text.startswith("curl"))
    lines = block.text.replace("\\\n", " ").replace("localhost:8000", server.url.removeprefix("http://")).splitlines()
    variables, shown = "", 0
    for command, below in zip(lines, [*lines[1:], ""], strict=True):
        if command.startswith("task="):
            variables = command.replace("task_01…", _tasks(api)[0]) + "\n"
        elif command.startswith("curl"):
            done = subprocess.run(["bash", "-c", variables + command], capture_output=True, text=True, timeout=60, check=True)
            expected = re.escape(below.removeprefix("# ")).replace("…", ".+")
            assert re.fullmatch(expected, done.stdout)
            shown += 1
    assert shown == 3


@pytest.mark.usefixtures("directory", "tidied")
def test_its_python_does_what_it_says(server: RealServer, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = (block for block in README.blocks() if block.language == "python")
    exec(compile(block.text.replace("http://127.0.0.1:8000", server.url), "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 5
    assert all(re.fullmatch(r"(fish|palace|tool|tower|windmill) \d+%|none of these", line) for line in printed)
