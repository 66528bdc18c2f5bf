"""The `headstart` command against a running server: what it prints, where, and its exit codes."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.server_process import free_port
from headstart import Client, Task
from headstart.__main__ import main
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess

SUPPORT = str(SAMPLES / "support")
PALACES = sorted(map(str, SAMPLES.glob("query/palace/*.jpg")))

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)


@pytest.fixture
def task(client: Client, support: Labelled, request: pytest.FixtureRequest) -> Task:
    """A task named after the test, so that its name is its own."""
    name: str = request.node.name
    return client.create_task(name, support)


def printed_json(capsys: Capture) -> Any:
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_a_person_learns_predicts_and_rolls_back(client: Client, capsys: Capture) -> None:
    assert main(["create", "a person's", SUPPORT]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"Created in \d+ ms: version 1 of a person's", out)
    assert re.search(r"tower +5", out)
    assert err == "", "no bar where there is no terminal"

    assert main(["predict", "a person's", *PALACES]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if ".jpg" in line]
    assert [line.split()[0] for line in lines] == PALACES, "whole paths, in order"
    assert all(re.search(r"\d+\.\d%", line) for line in lines)

    assert main(["add", "a person's", str(SAMPLES / "query")]) == 0
    assert "Added 25 examples" in capsys.readouterr().out
    assert main(["rollback", "a person's", "1"]) == 0
    assert "version 1 of a person's answers now" in capsys.readouterr().out
    assert main(["history", "a person's"]) == 0
    assert re.search(r"1 +active +created +5 +25", capsys.readouterr().out)
    assert next(task for task in client.tasks() if task.name == "a person's").version == 1


def test_scripts_get_the_bodies_of_the_api(client: Client, capsys: Capture) -> None:
    assert main(["--json", "create", "a script's", SUPPORT]) == 0
    created = printed_json(capsys)
    assert created["version"] == 1
    assert created["timing_ms"]["total"] > 0
    id_ = created["id"]

    assert main(["show", id_, "--json"]) == 0
    assert printed_json(capsys) == client.task(id_).raw
    assert main(["predict", id_, *PALACES, "--json"]) == 0
    predicted = printed_json(capsys)
    assert (predicted["task"], len(predicted["predictions"])) == (id_, 5)
    assert len(predicted["predictions"][0]["scores"]) == 5
    assert main(["history", id_, "--json"]) == 0
    assert [version["version"] for version in printed_json(capsys)["versions"]] == [1]
    assert main(["list", "--json"]) == 0
    assert printed_json(capsys) == {"tasks": [task.raw for task in client.tasks()], "next_cursor": None}
    assert main(["delete", id_, "--yes", "--json"]) == 0
    assert capsys.readouterr() == ("", "")
    assert id_ not in {task.id for task in client.tasks()}


def test_options_may_stand_before_or_after_the_command(
    server: ServerProcess, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_URL", f"http://127.0.0.1:{free_port()}")
    for arguments in (["--url", server.url, "--json", "list"], ["list", "--json", "--url", server.url]):
        assert main(arguments) == 0
        assert "tasks" in printed_json(capsys)


def test_a_folder_stands_for_all_its_images(task: Task, capsys: Capture) -> None:
    assert main(["predict", task.id, str(SAMPLES / "query"), "--json"]) == 0
    assert len(printed_json(capsys)["predictions"]) == 25


def test_many_tasks_are_asked_at_once(client: Client, task: Task, tmp_path: Path, capsys: Capture) -> None:
    other = client.create_task("another's", SAMPLES / "support")
    assert main(["predict-many", *PALACES[:2], "--task", task.name, "--task", other.id]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if ".jpg" in line]
    assert [line.split()[0] for line in lines] == [PALACES[0], PALACES[0], PALACES[1], PALACES[1]]
    assert [line.split()[-3] for line in lines] == [task.id, other.id] * 2

    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    assert main(["predict-many", PALACES[0], str(broken), "--json"]) == 1
    out, err = capsys.readouterr()
    results = json.loads(out)["results"]
    assert [result["task"] for result in results[:2]] == [other.id, task.id], "all of them, the newest first"
    assert "1 of 2 images could not be read" in err


def test_an_unreadable_image_among_others_is_named_and_changes_the_exit_code(task: Task, tmp_path: Path, capsys: Capture) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    assert main(["predict", task.id, PALACES[0], str(broken), "--json"]) == 1
    out, err = capsys.readouterr()
    answered, failed = json.loads(out)["predictions"]
    assert "label" in answered
    assert failed["error"]["code"] == "image_unsupported"
    assert str(broken) in err
    assert "1 of 2 images could not be read" in err

    assert main(["predict", task.id, str(broken)]) == 1
    out, err = capsys.readouterr()
    assert (out, "image_unsupported" in err) == ("", True)


def test_a_name_that_several_tasks_have_is_refused_with_their_ids(client: Client, task: Task, capsys: Capture) -> None:
    other = client.create_task(task.name, SAMPLES / "support")
    assert main(["show", task.name]) == 2
    err = capsys.readouterr().err
    assert task.id in err
    assert other.id in err
    assert main(["show", other.id]) == 0


def test_a_name_may_look_like_an_id(client: Client, task: Task, capsys: Capture) -> None:
    client.rename(task.id, "task_of/mine")
    assert main(["show", "task_of/mine", "--json"]) == 0
    assert printed_json(capsys)["id"] == task.id


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "nobody's"], 1, "`headstart list`"),
        (["show", "task_0"], 1, "`headstart list`"),
        (["create", "x", "/nowhere"], 2, "/nowhere: No such file"),
        (["create", "x", "--skip-broken", "/nowhere"], 2, "/nowhere: No such file"),
        (["create", "x"], 2, "--class NAME"),
        (["create", "x", "--class", "a", "--several-labels"], 2, "leave out --several-labels"),
        (["predict", "nobody's", "/nowhere.png"], 1, "nobody's"),
        (["create", "x", str(SAMPLES / "support" / "palace")], 2, "a folder for each class"),
        (["create", " ", SUPPORT], 1, "Correct this"),
        (["list", "--url", "localhost:8000"], 2, "must look like"),
    ],
)
def test_failures_say_what_to_do_on_stderr(arguments: list[str], code: int, said: str, capsys: Capture) -> None:
    assert main([*arguments, "--json"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_a_version_that_is_not_there(task: Task, capsys: Capture) -> None:
    assert main(["rollback", task.id, "7"]) == 1
    assert "`headstart history TASK`" in capsys.readouterr().err


def test_no_server_is_its_own_exit_code(capsys: Capture) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert main(["list", "--url", url]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert url in err
    assert "headstart-server" in err


def test_usage_errors_and_help(capsys: Capture) -> None:
    for arguments in ([], ["fly"], ["rollback", "task", "newest"], ["create"], ["compare", "task", "--C", "nan"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    capsys.readouterr()
    changing, reading = (
        ("create", "add", "rollback", "forget", "delete"),
        ("list", "show", "examples", "quality", "compare", "history"),
    )
    for command in (*changing, *reading, "predict", "predict-many"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert f"example:\n  headstart {command}" in capsys.readouterr().out


def test_deleting_needs_a_terminal_or_a_yes(client: Client, task: Task, server: ServerProcess) -> None:
    def delete(stdin: int, *flags: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-m", "headstart", "delete", task.id, "--url", server.url, *flags]
        return subprocess.run(command, stdin=stdin, capture_output=True, text=True, timeout=60, check=False)

    refused = delete(subprocess.DEVNULL)
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)

    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, b"n\n")
        declined = delete(terminal)
        assert (declined.returncode, declined.stdout) == (130, "")
        os.write(keyboard, b"\x04")  # Ctrl-D
        ended = delete(terminal)
        assert (ended.returncode, "Nothing was deleted." in ended.stderr) == (130, True)
        assert client.task(task.id).id == task.id
        os.write(keyboard, b"y\n")
        agreed = delete(terminal)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert (agreed.returncode, "Deleted" in agreed.stdout) == (0, True)
    assert task.id not in {each.id for each in client.tasks()}


def test_a_person_forgets_an_example(client: Client, task: Task, capsys: Capture) -> None:
    first, *others = client.examples(task.id)
    assert main(["examples", task.name]) == 0
    assert re.search(rf"{first.id} +{first.label} +image/png +{first.bytes}", capsys.readouterr().out)
    assert main(["forget", task.name, "1.jpg", "--yes"]) == 1, "images in memory have no file names"
    assert "has no example with the id or the file name '1.jpg'" in capsys.readouterr().err
    assert main(["forget", task.name, first.id]) == 2
    assert "--yes" in capsys.readouterr().err
    assert main(["forget", task.name, first.id, "--yes"]) == 0
    assert f"Forgot {first.id} of {task.name} in " in capsys.readouterr().out
    assert [version.version for version in client.versions(task.id)] == [2]
    assert main(["examples", task.name, "--json"]) == 0
    assert [example["id"] for example in printed_json(capsys)["examples"]] == [example.id for example in others]
    assert main(["forget", task.name, first.id, "--yes"]) == 1
    assert "`headstart examples TASK`" in capsys.readouterr().err


def test_a_person_learns_how_good_a_task_is(
    client: Client, task: Task, support: Labelled, queries: Labelled, capsys: Capture
) -> None:
    assert main(["quality", task.name]) == 0
    out = capsys.readouterr().out
    assert "Version 1: 100.0% (95 % interval 84.6% to 100.0%) recognised by leave-one-out, 25 of 25 examples." in out
    assert re.search(r"palace +5 +5 +5 +100.0% +52.4% to 100.0%", out)
    assert "Every example was recognised" in out
    assert re.search(r"9\d% with 10 each \(\d\d% to \d+%\), 9\d% with 25 each", out)
    assert "evaluation" not in out
    for column in ("taken for", "seems to be", "same as"):
        assert column not in out, "no table of nothing"

    palace, windmill = support[5][1], queries[-1][1]
    client.add_examples(task.id, [("windmill", palace), ("alone", windmill)])
    sent = list(client.examples(task.id))
    right, wrong, alone = sent[5], *sent[-2:]
    assert main(["quality", task.name]) == 0
    out = capsys.readouterr().out
    assert re.search(r"evaluations found 84\.\d% with 5 classes of 5 on CIFAR-FS", out)
    assert re.search(r"alone +1 +0 +0\s+\n", out)
    assert re.search(r"windmill +palace +1 *\n", out)
    assert re.search(rf"{wrong.id} +windmill +palace +\d+\.\d%", out)
    assert re.search(rf"{wrong.id} +windmill +{right.id} +palace +100\.0%", out)
    assert alone.id not in out
    assert "Add an image of 'alone'" in out

    assert main(["quality", task.id, "--json"]) == 0
    assert printed_json(capsys) == client.quality(task.id).raw

    pair = client.create_task("a pair", [("palace", palace), ("windmill", windmill)])
    assert main(["quality", pair.id]) == 0
    out = capsys.readouterr().out
    assert "no example can be judged" in out
    assert re.search(r"evaluations found 70\.\d% with 5 classes of 1 on CIFAR-FS", out)
    assert main(["quality", "nobody's"]) == 1
    assert "`headstart list`" in capsys.readouterr().err


def test_the_names_of_others_are_not_obeyed(client: Client, task: Task, capsys: Capture) -> None:
    client.rename(task.id, "[red]mark[/]up :palace: \u202e[31m")
    assert main(["show", task.id]) == 0
    out = capsys.readouterr().out
    assert "[red]mark[/]up :palace: \N{REPLACEMENT CHARACTER}[31m" in out
