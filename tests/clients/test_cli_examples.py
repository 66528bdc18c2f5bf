"""`headstart` about single examples and names, against a running server."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from headstart import Client, Task
from headstart.__main__ import main
from tests.helpers.images import encode, noise
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess

SUPPORT = SAMPLES / "support"
FISH = sorted(map(str, SUPPORT.glob("fish/*.jpg")))

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)


@pytest.fixture
def task(api: httpx.Client, client: Client, support: Labelled, request: pytest.FixtureRequest) -> Task:
    """A task named after the test, whose examples are called `fish0.png` to `windmill4.png` but for one name, `same.png`, that
    two classes have."""
    names = ["same.png" if number in {0, 5} else f"{label}{number % 5}.png" for number, (label, _) in enumerate(support)]
    files = [("images", (name, image)) for name, (_, image) in zip(names, support, strict=True)]
    data = {"name": request.node.name, "labels": [label for label, _ in support]}
    return client.task(api.post("/v1/tasks", files=files, data=data).json()["id"])


def said(capsys: Capture, *arguments: str, code: int = 0) -> str:
    """All that a command prints."""
    capsys.readouterr()
    assert main(list(arguments)) == code
    return "".join(capsys.readouterr())


def counts(client: Client, task: Task) -> dict[str, int]:
    return {size.label: size.examples for size in client.task(task.id).classes}


def test_an_example_is_named_by_its_file(client: Client, task: Task, capsys: Capture) -> None:
    assert re.search(r"example_\w+ +fish +fish1\.png", said(capsys, "examples", task.name))
    out = said(capsys, "relabel", task.name, "fish1.png", "tool")
    assert re.search(r"fish1.png of \S+ is in tool now in \d+ ms: version 2", out)
    assert counts(client, task) == {"fish": 4, "palace": 5, "tool": 6, "tower": 5, "windmill": 5}
    assert "Removed tool/fish1.png of " in said(capsys, "remove", task.name, "tool/fish1.png")
    assert "Forgot a/path/fish/fish2.png of " in said(capsys, "forget", task.name, "a/path/fish/fish2.png", "--yes")
    assert counts(client, task) == {"fish": 3, "palace": 5, "tool": 5, "tower": 5, "windmill": 5}
    assert "`headstart examples TASK`" in said(capsys, "remove", task.name, "fish1.png", code=1)


def test_a_file_name_that_several_have_is_refused_with_the_ways_to_say_which(client: Client, task: Task, capsys: Capture) -> None:
    out = said(capsys, "remove", task.name, "same.png", code=2)
    one, other = (each for each in client.examples(task.id) if each.raw["file_name"] == "same.png")
    assert "CLASS/FILE" in out
    for each in (one, other):
        assert f"{each.id}  {each.label}" in out
    said(capsys, "remove", task.name, f"{one.label}/same.png")
    said(capsys, "remove", task.name, other.id)
    assert client.task(task.id).examples == 23


def test_files_are_shown_where_they_are_known(client: Client, task: Task, capsys: Capture) -> None:
    client.relabel_example(task.id, next(client.examples(task.id)).id, "tool")
    out = said(capsys, "quality", task.name)
    assert re.search(r"tool/same\.png +example_\S+ +tool +fish +\d+\.\d%", out)
    client.add_examples(task.id, [("palace", client.example_image(task.id, list(client.examples(task.id))[1].id))])
    assert re.search(r"example_\S+ +palace +fish/fish1\.png +fish +100\.0%", said(capsys, "quality", task.name))


def test_images_of_one_class_are_added_by_its_name(client: Client, task: Task, tmp_path: Path, capsys: Capture) -> None:
    assert "Added 2 examples in" in said(capsys, "add", task.name, "--label", "fish", *FISH[:2])
    folder = tmp_path / "more"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "1.png").write_bytes(encode(noise(32, 32, seed=1)))
    (folder / "notes.txt").write_text("not an image")
    out = said(capsys, "add", task.name, str(folder), "--label", "noise")
    assert f"left out {folder}/notes.txt: not an image" in out
    assert counts(client, task)["fish"] == 7
    assert counts(client, task)["noise"] == 1
    assert "--label LABEL" in said(capsys, "add", task.name, FISH[0], code=2)
    assert "--label LABEL" in said(capsys, "add", task.name, str(SUPPORT / "fish"), code=2)
    assert "--label LABEL" in said(capsys, "add", task.name, str(SUPPORT), str(SUPPORT), code=2)
    assert client.task(task.id).version == 3


def test_images_come_back_as_files_that_teach_the_same(client: Client, task: Task, tmp_path: Path, capsys: Capture) -> None:
    saved = tmp_path / "saved"
    assert f"Saved 25 examples to {saved}" in said(capsys, "examples", task.name, "--save", str(saved))
    assert sorted(path.name for path in saved.glob("fish/*")) == [*(f"fish{number}.png" for number in range(1, 5)), "same.png"]
    for each in client.examples(task.id):
        assert (saved / str(each.label) / each.raw["file_name"]).read_bytes() == client.example_image(task.id, each.id)
    assert "is not empty" in said(capsys, "examples", task.name, "--save", str(saved), code=2)
    said(capsys, "create", f"{task.name} again", str(saved))
    again = next(each for each in client.tasks() if each.name == f"{task.name} again")
    assert again.classes == task.classes


def test_labels_and_names_of_others_do_not_lead_out_of_the_folder(api: httpx.Client, tmp_path: Path, capsys: Capture) -> None:
    named = [
        ("../../out", "1.png"),
        ("/etc", "..png"),
        ("..", "CON.png"),
        (".hidden", ".png"),
        ("a/b", "x" * 128),
        ("a:b", "Über.jpg"),
        ("A:B", "u\u0308.png"),
        ("A:B", "Ü.png"),
    ]
    files = [("images", (name, encode(noise(32, 32, seed=seed)))) for seed, (_, name) in enumerate(named)]
    task = api.post("/v1/tasks", files=files, data={"labels": [label for label, _ in named]}).json()
    saved = tmp_path / "a" / "b" / "saved"
    out = said(capsys, "examples", task["id"], "--save", str(saved))
    written = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == len(named)
    assert all(path.startswith("a/b/saved/") and "/." not in path for path in written)
    assert len({path.casefold() for path in written}) == len(named), "nor on a disk that does not tell case"
    assert "the class a/b is in the folder a_b." in out


def test_a_name_that_is_taken_is_refused_with_the_ways_out(client: Client, task: Task, capsys: Capture) -> None:
    out = said(capsys, "create", task.name, str(SUPPORT), code=2)
    assert f"{task.id}  25 examples in 5 classes" in out
    assert "`headstart add`" in out
    other = client.create_task("another's", {"a": [encode(noise(32, 32, seed=1))], "b": [encode(noise(32, 32, seed=2))]})
    assert task.id in said(capsys, "rename", other.id, task.name, code=2)
    assert client.task(other.id).name == "another's"
    assert f"{task.name} is called {task.name} now." in said(capsys, "rename", task.name, task.name)
    assert "is called Möwe now." in said(capsys, "rename", other.id, "Möwe")
    assert "already" in said(capsys, "create", " Mo\u0308we", str(SUPPORT), code=2), "it looks the same"
    assert main(["show", "Mo\u0308we"]) == 0
    client.delete(other.id)


def test_tasks_of_one_name_do_not_lock_each_other_out(client: Client, task: Task, capsys: Capture) -> None:
    twin = client.create_task(task.name, SUPPORT)
    out = said(capsys, "show", task.name, code=2)
    for each in (task, twin):
        assert f"{each.id}  25 examples in 5 classes" in out
    assert f"headstart rename {twin.id} NAME" in out
    said(capsys, "rename", twin.id, f"{task.name} the second")
    assert task.id in said(capsys, "show", task.name)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes on Linux only")
def test_names_that_are_not_utf8_are_refused_or_written_out(task: Task, tmp_path: Path, capsys: Capture) -> None:
    for name in (b"M\xf6we", b"M\xe4we"):
        (tmp_path / "wrong" / os.fsdecode(name)).mkdir(parents=True)
        (tmp_path / "wrong" / os.fsdecode(name) / "1.png").write_bytes(encode(noise(32, 32, seed=1)))
    out = said(capsys, "create", "never", str(tmp_path / "wrong"), code=2)
    assert re.search(r"the folder \S+/wrong/M\\xe4we has a name that is not UTF-8; rename it", out)
    assert "never" not in said(capsys, "list")
    file = tmp_path / os.fsdecode(b"\xe9.png")
    file.write_bytes(encode(noise(32, 32, seed=1)))
    assert "/\\xe9.png" in said(capsys, "predict", task.id, str(file))
    assert "/\\xe9.png" in said(capsys, "predict", task.id, str(file), "--csv")
    body: Any = json.loads(said(capsys, "predict", task.id, str(file), "--json"))
    assert body["predictions"][0]["file"] == f"{tmp_path}/\\xe9.png"


def test_images_of_none_of_the_classes(client: Client, task: Task, tmp_path: Path, capsys: Capture) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    for number in range(2):
        (strange / f"{number}.png").write_bytes(encode(noise(32, 32, seed=number)))
    assert "Added 2 examples in" in said(capsys, "add", task.name, "--none-of-these", str(strange))
    assert (client.task(task.id).negatives, client.task(task.id).examples) == (2, 25)
    assert re.search(r"\(none of these\) +2", said(capsys, "show", task.name))
    assert re.search(r"example_\S+ +\(none of these\) +0\.png", said(capsys, "examples", task.name))
    with pytest.raises(SystemExit):
        main(["add", task.name, "--none-of-these", "--label", "fish", str(strange)])
    assert "of none of the classes now" in said(capsys, "relabel", task.name, "fish1.png", "--none-of-these")
    assert client.task(task.id).negatives == 3
    assert "is in tool now" in said(capsys, "relabel", task.name, "fish1.png", "tool")
    assert "LABEL or --none-of-these" in said(capsys, "relabel", task.name, "0.png", code=2)
    assert "LABEL or --none-of-these" in said(capsys, "relabel", task.name, "0.png", "tool", "--none-of-these", code=2)

    saved = tmp_path / "saved"
    assert "saved-none-of-these" in said(capsys, "examples", task.name, "--save", str(saved))
    beside = tmp_path / "saved-none-of-these"
    assert sorted(path.read_bytes() for path in beside.iterdir()) == sorted(path.read_bytes() for path in strange.iterdir())
    again = f"{task.name} again"
    said(capsys, "create", again, str(saved), "--none-of-these", str(beside))
    made = next(each for each in client.tasks() if each.name == again)
    assert (made.negatives, made.examples) == (2, 25)
