"""`make demo`: starts a server, teaches it five kinds of thing, and has it recognise photographs that it has not seen.

    python clients/demo.py

Everything that it makes lies in a temporary folder, and is removed at the end. Some of the photographs show none of the five
kinds (`clients/samples/README.md`). A photograph of one of the kinds counts as right only if the
server does not call it unknown.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import NoReturn

from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table

from headstart import Client, HeadstartError, Prediction, Predictions, Task, Unreadable, labelled_folder

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "clients" / "samples"
START_SECONDS = 120
STOP_SECONDS = 30
LOG_LINES = 15

Asked = tuple[str | None, Path]
"""The kind that a photograph shows, None for none of them, and its path."""

console = Console(highlight=False)


class DemoFailed(Exception):
    """The server did not do its part."""


def main() -> int:
    """Runs the demo and returns the exit code: 0 if everything worked, the server's clean stop included."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with tempfile.TemporaryDirectory(prefix="headstart-demo-") as folder, _server(Path(folder)) as client:
            _demonstrate(client)
        console.print("\nThe server has stopped cleanly, and its files are removed.\n")
        console.print(_NEXT, soft_wrap=True)
    except (DemoFailed, HeadstartError) as error:
        console.print(f"The demo failed: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped; the server's files are removed.")
        return 130
    return 0


_NEXT = """\
Try next:
  make serve                               a server to keep
  http://127.0.0.1:8000                    its page: drop folders and photographs, or use the camera
  .venv/bin/headstart create mine FOLDER   your own images, a folder for each class
  .venv/bin/headstart predict mine FILE    what is this?
  http://127.0.0.1:8000/docs               the whole API, to click through
"""


@contextmanager
def _server(folder: Path) -> Iterator[Client]:
    """Starts a server with an empty database in `folder`, yields a client of it, and stops the server in any case."""
    port = _free_port()
    log = folder / "server.log"
    command = [sys.executable, "-m", "server", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(folder / "data")]
    # The demo must not use the caller's settings, for example a database.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADSTART_")}
    started = time.monotonic()
    with log.open("wb") as output:
        # In a session of its own the server gets no Ctrl-C: the demo gets it, and stops the server.
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            _wait_until_ready(client, process, log)
            console.print(f"[bold]A server started[/] and was ready after {time.monotonic() - started:.1f} s.\n")
            yield client
    finally:
        status = _terminate(process)
    if status != 0:
        raise DemoFailed(f"the server ended with status {status} when it was told to stop. {_last_lines(log)}")


def _wait_until_ready(client: Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with console.status("Starting a server"):
        while not client.ready():
            if process.poll() is not None:
                raise DemoFailed(f"the server ended with status {process.returncode} while it started. {_last_lines(log)}")
            if time.monotonic() > deadline:
                raise DemoFailed(f"the server was not ready after {START_SECONDS} s. {_last_lines(log)}")
            time.sleep(0.05)


def _terminate(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(STOP_SECONDS)
    except BaseException:
        # Also at a second Ctrl-C: no process may outlive the demo.
        process.kill()
        process.wait()
        raise


def _demonstrate(client: Client) -> None:
    support = labelled_folder(SAMPLES / "support")
    members = labelled_folder(SAMPLES / "query")
    asked: list[Asked] = [*members, *((None, path) for path in sorted((SAMPLES / "stranger").glob("*.jpg")))]

    started = time.monotonic()
    task = client.create_task("demo", support)
    created = time.monotonic()
    predictions = client.predict(task.id, [image for _, image in asked])
    predicted = time.monotonic()

    labels = ", ".join(size.label for size in task.classes)
    console.print(
        f"[bold]It learned {len(task.classes)} kinds of thing[/] from {len(support)} photographs, {_sizes(support)}:\n{labels}."
    )
    console.print(f"[dim]task {task.id} on backbone {task.backbone}[/]\n")
    console.print(_answers(asked, predictions))
    _summarise([_verdict(label, result) for (label, _), result in zip(asked, predictions, strict=True)], len(members))
    console.print(_durations(task, created - started, predictions, predicted - created))


class Verdict(Enum):
    """The outcome for one photograph."""

    RIGHT = "[green]✓[/]"
    WRONG = "[red]✗[/]"
    DISOWNED = "[yellow]?[/]"
    """The photograph shows one of the kinds, but the server calls it none of them."""


def _verdict(label: str | None, result: Prediction | Unreadable) -> Verdict:
    """Compares a result with the kind that the photograph shows; `label` is None for none of the kinds."""
    if isinstance(result, Unreadable):
        return Verdict.WRONG
    if not result.known:
        return Verdict.RIGHT if label is None else Verdict.DISOWNED
    return Verdict.RIGHT if result.label == label else Verdict.WRONG


def _summarise(verdicts: list[Verdict], members: int) -> None:
    """Prints the counts; the first `members` verdicts are of photographs of the kinds."""
    learned, strangers = verdicts[:members], verdicts[members:]
    right, unknown, wrong = (learned.count(verdict) for verdict in (Verdict.RIGHT, Verdict.DISOWNED, Verdict.WRONG))
    told = strangers.count(Verdict.RIGHT)
    console.print(
        f"[bold]Of {members} photographs of these kinds[/]: {right} right, {unknown} called none of these, {wrong} wrong."
    )
    console.print(f"[bold]Of {len(strangers)} photographs of something else[/]: {told} called none of these.")
    console.print("These kinds are easy; for how good it is on others, see the README.\n", style="dim")


def _answers(asked: list[Asked], predictions: Predictions) -> Table:
    table = Table("photograph", "shows", "was called", "sure", "", box=box.SIMPLE_HEAD, title="Photographs it had not seen")
    table.columns[3].justify = "right"
    before: str | None = ""
    for (label, path), result in zip(asked, predictions, strict=True):
        if before not in {"", label}:
            table.add_section()
        before = label
        match result:
            case Unreadable():
                answer, sure = f"unreadable: {result.detail}", ""
            case Prediction(known=False):
                answer, sure = f"none of these [dim]({result.label}?)[/]", ""
            case Prediction():
                answer, sure = result.label, f"{result.probability:.0%}"
        table.add_row(path.stem, label or "something else", answer, sure, _verdict(label, result).value)
    return table


def _sizes(images: list[tuple[str, Path]]) -> str:
    sides = []
    for _, path in images:
        with Image.open(path) as image:
            sides.append(max(image.size))
    return f"{min(sides)} to {max(sides)} pixels long"


def _durations(task: Task, creation: float, predictions: Predictions, prediction: float) -> Table:
    """The milliseconds of each stage on the server, and of the whole call in the client."""
    stages = ("decode", "embed", "fit", "head", "store", "total")
    table = Table("images, ms", *stages, "whole call", box=box.SIMPLE_HEAD, title="How long it took")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, timing_ms, seconds in (
        (f"learn {task.examples}", task.timing_ms, creation),
        (f"recognise {len(predictions)}", predictions.timing_ms, prediction),
    ):
        cells = (f"{timing_ms[stage]:.1f}" if stage in timing_ms else "" for stage in stages)
        table.add_row(name, *cells, f"{1000 * seconds:.1f}")
    return table


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join(["The end of its log:", *lines]) if lines else "Its log is empty."


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
