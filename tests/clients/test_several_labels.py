"""Tasks of several labels an image in the client and on the command line, against a real server."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart import Client, InvalidInput, Prediction, Task
from headstart.__main__ import main
from tests.helpers.patches import picture
from tests.helpers.servers import ServerProcess

SETS = [["red"], ["green"], ["blue"], ["red", "green"], ["red", "blue"], ["green", "blue"], [], ["red"], ["green"], ["blue"]]
PAIRS = [(labels, picture(labels, seed)) for seed, labels in enumerate(SETS)]

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("several") / "data", *small_flags) as process:
        yield process


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for each label, in which an image of several labels lies several times, and another for images of none."""
    for at, (labels, image) in enumerate(PAIRS):
        for label in labels or ["../none"]:
            file = tmp_path / "scenes" / label / f"{at}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(image)
    return tmp_path / "scenes"


def sets_in(client: Client, task: str) -> list[tuple[str, ...]]:
    return sorted(tuple(sorted(each.labels or ())) for each in client.examples(task))


def test_pairs_make_a_task_that_answers_with_labels(client: Client) -> None:
    task = client.create_task(None, PAIRS, several_labels=True)
    assert (task.labels, task.negatives) == ("multiple", 1)
    assert sets_in(client, task.id) == sorted(tuple(sorted(labels)) for labels in SETS)
    (found,) = client.predict(task.id, picture(["green", "blue"], 100)).checked()
    assert isinstance(found, Prediction)
    assert sorted(found.labels or ()) == ["blue", "green"]
    assert found.known
    assert found.nearest[0].labels is not None
    many = client.predict_many([task.id], picture(["green", "blue"], 100)).results[0]
    assert not hasattr(many, "code")
    added = client.add_examples(task.id, [(["red", "striped"], picture(["red"], 101)), (None, picture([], 102))])
    assert {size.label: size.examples for size in added.classes}["striped"] == 1
    assert added.negatives == 2
    last = list(client.examples(task.id))[-2]
    assert (last.label, last.labels, last.classes) == (None, ("red", "striped"), ("red", "striped"))
    assert client.relabel_example(task.id, last.id, ["red"]).version == 3
    quality = client.quality(task.id)
    assert quality.groups <= len(SETS) + 2
    assert all(each.false_positive_rate is not None for each in quality.classes)
    with pytest.raises(InvalidInput, match="labels"):
        client.relabel_example(task.id, next(client.examples(task.id)).id, "red")


def test_captures_take_lists_of_labels(client: Client) -> None:
    task = client.create_task(None, PAIRS, several_labels=True)
    first, second = client.predict(task.id, [picture(["red"], 110, 60), picture([], 111, 60)], remember=True).checked()
    assert first.id is not None
    assert second.id is not None
    (entry, *_) = client.captures.list(task.id).captures
    assert entry.labels is not None
    assert entry.answered.labels is not None
    assert client.captures.resolve(task.id, {first.id: ["red", "rough"]}).version == 2
    assert client.correct(task.id, second.id, []).negatives == 2


def test_a_folder_becomes_a_task_on_the_command_line(client: Client, folder: Path, tmp_path: Path, capsys: Printed) -> None:
    assert main(["create", "scenes", str(folder), "--several-labels", "--none-of-these", str(tmp_path / "none")]) == 0
    (task,) = [each for each in client.tasks() if each.name == "scenes"]
    assert sets_in(client, task.id) == sorted(tuple(sorted(labels)) for labels in SETS)
    assert "any number an image" in capsys.readouterr().out

    asked = tmp_path / "asked"
    asked.mkdir()
    (asked / "both.png").write_bytes(picture(["red", "green"], 120))
    (asked / "none.png").write_bytes(picture([], 121))
    assert main(["predict", "scenes", str(asked), "--csv"]) == 0
    both, none = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert sorted(both["label"].split(", ")) == ["green", "red"]
    assert (none["label"], none["known"]) == ("", "false")
    assert main(["predict", "scenes", str(asked)]) == 0
    table = capsys.readouterr().out
    assert "none of these" in table
    assert any("red" in line and "green" in line for line in table.splitlines())
    assert main(["predict-many", str(asked / "both.png"), "--task", task.id, "--csv"]) == 0
    assert "red" in capsys.readouterr().out
    assert main(["quality", "scenes"]) == 0
    assert "of the labels right" in capsys.readouterr().out
    assert main(["examples", "scenes"]) == 0
    assert "red, green" in capsys.readouterr().out.replace("green, red", "red, green")

    assert main(["relabel", "scenes", "0.png", "red", "blue"]) == 0
    assert "is in red, blue now" in capsys.readouterr().out
    assert main(["add", "scenes", "--label", "green", str(asked / "both.png")]) == 0
    assert main(["add", "scenes", "--none-of-these", str(asked / "none.png")]) == 0
    assert client.task(task.id).negatives == 2
    capsys.readouterr()

    saved = tmp_path / "saved"
    assert main(["examples", "scenes", "--save", str(saved)]) == 0
    assert (saved / "red" / "3.png").read_bytes() == (saved / "green" / "3.png").read_bytes() == PAIRS[3][1]
    assert len(list((tmp_path / "saved-none-of-these").iterdir())) == 2


def test_decisions_on_the_command_line_name_several_labels(client: Client, capsys: Printed) -> None:
    task = client.create_task("reviewed", PAIRS, several_labels=True)
    ids = [each.id for each in client.predict(task.id, [picture([], seed, 60) for seed in (130, 131)], remember=True).checked()]
    assert main(["review", "reviewed"]) == 0
    assert ids[0] is not None
    assert ids[1] is not None
    assert main(["review", "reviewed", "--label", f"red={ids[0]}", "--label", f"rough={ids[0]}"]) == 0
    assert list(client.examples(task.id))[-1].labels == ("red", "rough")
    capsys.readouterr()
    assert main(["correct", "reviewed", ids[1], "blue", "rough", "--json"]) == 0
    assert {"label": "rough", "examples": 2} in json.loads(capsys.readouterr().out)["classes"]


def test_an_image_of_one_label_gets_no_second(client: Client, capsys: Printed) -> None:
    task: Task = client.create_task("one label", [(labels[0], image) for labels, image in PAIRS[:3]])
    example = next(client.examples(task.id)).id
    assert main(["relabel", "one label", example, "red", "blue"]) == 2
    assert "has one label, not 2" in capsys.readouterr().err
