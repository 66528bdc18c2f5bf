"""The code of the pages about the Python clients and about agents, carried out against a real server."""

import pytest
from mcp.client import stdio

from benchmarks.server_process import ROOT
from tests.helpers.markdown import Document
from tests.helpers.servers import ServerProcess

PAGES = ROOT / "docs" / "integrations"


def code_of(page: str) -> list[str]:
    path = PAGES / page
    return [block.text for block in Document(path, path.read_text()).blocks() if block.language == "python"]


def carry_out(code: str, url: str) -> None:
    exec(compile(code.replace("http://127.0.0.1:8000", url), "page", "exec"), {})


@pytest.fixture(autouse=True)
def place(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)
    monkeypatch.chdir(ROOT)
    # The SDK starts a command without the variables by which Python finds a checkout that is not installed.
    monkeypatch.setattr(stdio, "DEFAULT_INHERITED_ENV_VARS", [*stdio.DEFAULT_INHERITED_ENV_VARS, "PYTHONPATH"])


def test_both_clients(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    on_a_loop, in_memory = code_of("python.md")
    carry_out(on_a_loop, server.url)
    seen, *tasks = capsys.readouterr().out.splitlines()
    assert seen.count("fish") >= 4, "of 5"
    assert "asynchronous 1" in tasks
    carry_out(in_memory, server.url)
    assert capsys.readouterr().out.splitlines() == ["bright", "{'dark'}"]


def test_an_agent(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = code_of("mcp.md")
    carry_out(code, server.url)
    assert capsys.readouterr().out == "fish\n"
