"""What the three commands do where their surroundings are unkind: no traceback, no password, a status that tells."""

import io
import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.server_process import ROOT, free_port
from headstart import Client
from headstart.__main__ import main
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.waiting import wait_until
from training.__main__ import main as headstart_train

PASSWORD = "s3cret"
WITHOUT = """
import runpy, sys
lacking, module, *arguments = sys.argv[1:]
class Lacking:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == lacking:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Lacking)
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__")
"""

INTERRUPTED = """
import os, runpy, signal, sys
module, *arguments = sys.argv[1:]
class Interrupting:
    def find_spec(name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(Interrupting)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting)
sys.argv = ["command", *arguments]
"""
RUN_TRAINING = INTERRUPTED + "runpy.run_module('training', run_name='__main__')"
RUN_HEADSTART = INTERRUPTED + "from headstart_command import main; sys.exit(main())"


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """One of our commands, by its module."""
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, timeout=120, check=False
    )


def run_here(command: Callable[[list[str]], int], arguments: list[str], encoding: str) -> subprocess.CompletedProcess[bytes]:
    """One of our commands in this process, whose output has the encoding that PYTHONIOENCODING would give it."""
    out, err = io.BytesIO(), io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding, write_through=True))
        patch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding=encoding, errors="backslashreplace", write_through=True))
        try:
            code = command(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_console_that_lacks_characters_gets_them_escaped(
    encoding: str,
    server: ServerProcess,
    client: Client,
    support: Labelled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = client.create_task(f"Übung {encoding} 🐦", [(f"鳥 {label}", image) for label, image in support])
    monkeypatch.setenv("HEADSTART_URL", server.url)
    for command in (["show", task.id], ["list"], ["quality", task.id], ["show", "nobody 🐦"]):
        done = run_here(main, command, encoding)
        if command == ["show", task.id]:
            assert (done.returncode, done.stdout) == (0, run("-m", "headstart", *command, PYTHONIOENCODING=encoding).stdout)
        assert b"Traceback" not in done.stderr
        assert done.returncode == (1 if "nobody 🐦" in command else 0)
        text = (done.stdout + done.stderr).decode(encoding)
        assert ("🐦" if encoding == "utf-8" else r"\U0001f426") in text or "quality" in command
    for done in (run_here(main, ["--help"], encoding), run_here(headstart_train, ["run", "--help"], encoding)):
        assert (done.returncode, done.stderr) == (0, b"")
    of_server = run_server("--help", folder=tmp_path, PYTHONIOENCODING=encoding)
    assert (of_server.returncode, of_server.stderr) == (0, "")


def test_a_reader_that_has_gone_ends_the_command_silently(server: ServerProcess) -> None:
    for command, code in ((["list"], 141), (["list", "--json"], 141), (["--help"], 0)):  # argparse passes over what fails there
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-m", "headstart", *command, "--url", server.url],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.parametrize(("closed", "code"), [("-", 0), ("/dev/full", 2)])
def test_nowhere_to_print_to_is_no_traceback(closed: str, code: int, server: ServerProcess) -> None:
    to = ">&-" if closed == "-" else f">{closed}"
    script = f"{sys.executable} -m headstart list --url {server.url} {to}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:{}@127.0.0.1:{}",
        "ftp://me:{}@host:{}",
        "http://me:{}/with#any?thing@127.0.0.1:{}",
        "me:{}@127.0.0.1:{}",
        "http://me:{}@127.0.0.1:{}x",
        "http://me:{}@[::1:{}",
    ],
)
def test_a_password_in_an_address_is_never_printed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--url", url.format(PASSWORD, free_port())]) in {2, 3}
    out, err = capsys.readouterr()
    assert out == ""
    assert PASSWORD not in err
    assert "127.0.0.1" in err


def test_what_answers_in_a_servers_place_is_named_without_the_password(
    server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = server.url.replace("//", f"//me:{PASSWORD}@") + "/docs?"
    assert main(["list", "--url", elsewhere]) == 3
    err = capsys.readouterr().err
    assert "is that a Headstart server" in err
    assert PASSWORD not in err


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:port", "http://127.0.0.1:99999", "http://[::1", f"http://{'a' * 64}.test", "http://a\nb"]
)
def test_an_address_that_cannot_be_is_refused_in_one_line(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--url", url]) == 2
    assert "the server's address must look like http://127.0.0.1:8000" in capsys.readouterr().err


def test_a_socks_proxy_without_its_package_is_told() -> None:
    command = ("-c", WITHOUT, "socksio", "headstart", "list", "--url", "http://192.0.2.1:8000")
    done = run(*command, ALL_PROXY=f"socks5://me:{PASSWORD}@127.0.0.1:9")
    assert done.returncode == 2
    assert b"pip install 'httpx[socks]'" in done.stderr
    assert b"Traceback" not in done.stderr
    assert PASSWORD.encode() not in done.stderr


@pytest.mark.parametrize(
    ("module", "lacking", "brings", "flag"),
    [
        ("training", "torch", b"pip install '.[cpu,train]'", "--help"),
        ("training", "scipy", b"pip install '.[cpu,train]'", "--help"),
        ("server", "onnxruntime", b"pip install '.[cpu]'", "--workers=1"),
    ],
)
def test_a_library_that_lacks_is_named_with_what_brings_it(module: str, lacking: str, brings: bytes, flag: str) -> None:
    done = run("-c", WITHOUT, lacking, module, flag)
    assert done.returncode == 1
    assert brings in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_servers_database_url_is_not_printed_with_its_password(tmp_path: Path) -> None:
    wrong = "the database URL must be sqlite:///"
    for url, told in {
        f"postgresql://me:{PASSWORD}@localhost:1/db": "postgresql://me:***@localhost:1/db cannot be used: ",
        f"sqlite://me:{PASSWORD}@host/x.db": wrong,
        f"sqlite://me:{PASSWORD}@host:x/db": wrong,
    }.items():
        flags = ("--port", str(free_port()), "--data-dir", str(tmp_path / "data"), "--database-url", url)
        done = run_server(*flags, folder=tmp_path)
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize("module", ["torch", "torch.nn"])
def test_ctrl_c_while_pytorch_is_loaded_is_no_traceback(module: str) -> None:
    done = run("-c", RUN_TRAINING, module)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"headstart-train: stopped\n")


def test_ctrl_c_ends_the_command_with_a_word(tmp_path: Path) -> None:
    """While it waits for a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        log = tmp_path / "log"
        command = [sys.executable, "-m", "headstart", "list", "--url", url]
        with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
            try:
                connection, _ = silent.accept()
                with connection:
                    assert connection.recv(1)
                    # A signal that comes just before Python waits for the socket is seen only after that.
                    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING)
                    process.send_signal(signal.SIGINT)
                    assert process.wait(30) == 130
            finally:
                process.kill()
    assert log.read_text() == "Stopped.\n"


@pytest.mark.parametrize("module", ["headstart", "httpx", "headstart.replies.tasks", "rich.console", "headstart.cli.output"])
def test_ctrl_c_while_the_command_is_loaded_is_no_traceback(module: str) -> None:
    done = run("-c", RUN_HEADSTART, module, "list")
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"Stopped.\n")


def test_the_command_that_is_installed_is_the_one_that_catches_it() -> None:
    project = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["headstart"] == "headstart_command:main"
    assert "headstart_command.py" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    done = run("-c", "import sys; from headstart_command import main; sys.exit(main())", "fly")
    assert (done.returncode, b"invalid choice: 'fly'" in done.stderr) == (2, True)
