"""What `headstart predict` prints for people, scripts and spreadsheets."""

import csv
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from headstart import Client, Task
from headstart.__main__ import main
from headstart.cli.tables.fitting import Column, FittedTable
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess

QUERIES = sorted(map(str, SAMPLES.glob("query/*/*.jpg")))[::4]
STRANGERS = sorted(map(str, SAMPLES.glob("stranger/*.jpg")))

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)


@pytest.fixture(scope="module")
def task(server: ServerProcess, support: Labelled) -> Iterator[Task]:
    with Client(server.url) as client:
        yield client.create_task("a task with a name that is rather long, as people call them", support)


@pytest.fixture
def broken(tmp_path: Path) -> str:
    path = tmp_path / "broken, with a comma.jpg"
    path.write_bytes(b"no image")
    return str(path)


def test_json_says_which_file_each_answer_is_about(task: Task, broken: str, capsys: Capture) -> None:
    assert main(["predict", task.id, *QUERIES, broken, "--json"]) == 1
    answers = json.loads(capsys.readouterr().out)["predictions"]
    assert [answer["file"] for answer in answers] == [*QUERIES, broken]
    assert "error" in answers[-1]
    assert main(["predict-many", *QUERIES, broken, "--task", task.id, "--json"]) == 1
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert [answer["file"] for answer in result["predictions"]] == [*QUERIES, broken]


def test_csv_holds_what_the_api_says(client: Client, task: Task, broken: str, capsys: Capture) -> None:
    assert main(["predict", task.id, *QUERIES, *STRANGERS, broken, "--csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["file"] for row in rows] == [*QUERIES, *STRANGERS, broken]
    for row, answer in zip(rows, client.predict(task.id, [*QUERIES, *STRANGERS]).checked(), strict=False):
        assert row["label"] == answer.label
        assert float(row["probability"]) == pytest.approx(answer.probability, abs=1e-6)
        assert row["known"] == str(answer.known).lower()
    assert (rows[-1]["label"], "not a JPEG" in rows[-1]["error"]) == ("", True)
    assert main(["predict-many", *QUERIES[:1], broken, "--task", task.id, "--csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["file"], bool(row["label"]), bool(row["error"])) for row in rows] == [
        (QUERIES[0], True, False),
        (broken, False, True),
    ]
    assert main(["predict-many", *QUERIES[:2], "--task", task.id, "--csv"]) == 0
    assert [row["name"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))] == [task.name] * 2
    assert main(["predict-many", *QUERIES[:2], *STRANGERS, broken, "--task", task.id, "--judge-unknown", "--csv"]) == 1
    verdicts = [(row["known"], row["novelty"]) for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    alone = client.predict(task.id, [*QUERIES[:2], *STRANGERS]).checked()
    assert verdicts == [*((str(each.known).lower(), f"{each.novelty:.4f}") for each in alone), ("", "")]
    assert main(["predict-many", *STRANGERS, "--task", task.id, "--judge-unknown"]) == 0
    assert "none of these" in capsys.readouterr().out
    for command in (["predict", task.id], ["predict-many"]):
        assert main([*command, *QUERIES[:1], "--csv", "--json"]) == 2


@pytest.mark.parametrize(("given", "least"), [(["--unsure"], 0.9), (["--unsure", "0.6"], 0.6), (["--unsure=0"], 0.0)])
def test_unsure_leaves_only_what_a_person_should_look_at(
    given: list[str], least: float, client: Client, task: Task, broken: str, capsys: Capture
) -> None:
    files = [*QUERIES, *STRANGERS]
    answers = client.predict(task.id, files).checked()
    unsure = [file for file, each in zip(files, answers, strict=True) if each.known is False or each.probability < least]
    assert main(["predict", task.id, *given, *files, broken, "--json"]) == 1
    out, err = capsys.readouterr()
    assert [answer["file"] for answer in json.loads(out)["predictions"]] == [*unsure, broken]
    assert f"{len(unsure) + 1} of {len(files) + 1} images are unsure" in err
    assert 0 < len(unsure) < len(files)


def test_a_share_is_from_0_to_1(task: Task) -> None:
    for wrong in ("2", "-1", "nan"):
        with pytest.raises(SystemExit):
            main(["predict", task.id, f"--unsure={wrong}", *QUERIES])


@pytest.mark.parametrize("command", ["predict", "predict-many", "list", "examples", "quality", "history", "compare", "backbones"])
def test_nothing_wraps_on_a_terminal_of_80_columns(command: str, server: ServerProcess, task: Task) -> None:
    arguments = {"predict": [task.id, *QUERIES], "predict-many": QUERIES, "list": [], "backbones": []}.get(command, [task.id])
    keyboard, terminal = pty.openpty()
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        process = subprocess.Popen(
            [sys.executable, "-m", "headstart", command, *arguments, "--url", server.url],
            stdout=terminal,
            stderr=subprocess.DEVNULL,
            env={**environment, "TERM": "dumb", "NO_COLOR": "1"},
        )
        os.close(terminal)
        printed = bytearray()
        while piece := _read(keyboard):
            printed += piece
        assert process.wait(60) == 0
    finally:
        os.close(keyboard)
    lines = printed.decode().replace("\r", "").splitlines()
    assert max(map(cell_len, lines)) <= 80
    rule = next(number for number, line in enumerate(lines) if "──" in line)
    body = lines[rule + 1 : next(at for at in range(rule + 1, len(lines)) if not lines[at].strip())]
    first = [line.split()[0] for line in body]
    assert all(len(word) > 3 or word.isdigit() for word in first), f"no rest of a cell: {body}"
    if command == "predict":
        assert [Path(line.split()[0].removeprefix("…")).name for line in body] == [Path(file).name for file in QUERIES]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side was closed
        return b""


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z", "M")), min_size=1, max_size=60)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), min_size=1, max_size=5), st.integers(70, 120))
def test_every_row_is_one_line_and_its_note_is_whole(rows: list[tuple[str, ...]], width: int) -> None:
    table = FittedTable(
        (Column("path", cut="start"), Column("label", cut="end"), Column("more", goes=1), Column("why", below=True))
    )
    for row in rows:
        table.add_row(*row)
    file = io.StringIO()
    Console(file=file, width=width, markup=False, emoji=False, highlight=False).print(table)
    lines = file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    notes = "".join(line.strip() for line in lines if line.startswith("    "))
    heading = next(line for line in lines if "path" in line)
    if "why" in heading:
        assert len(lines) == 4 + len(rows)
    else:
        assert sum(not line.startswith("    ") for line in lines[3:-1]) == len(rows)
        assert notes == "".join(row[3] for row in rows)


def test_a_pipe_gets_all_of_it() -> None:
    table = FittedTable((Column("path", cut="start"), Column("more", goes=1), Column("why", below=True)))
    table.add_row("a/" * 50, "b" * 50, "c " * 50)
    file = io.StringIO()
    Console(file=file, width=1000).print(table)
    assert all(part in file.getvalue() for part in ("a/" * 50, "b" * 50, "c " * 49, "why"))
