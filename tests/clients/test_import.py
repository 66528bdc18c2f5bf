"""`headstart export --format archive` and `headstart import`: a task leaves and comes back, and comes from other tools."""

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headstart import Client, Task
from headstart.__main__ import main
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("import") / "data", *small_flags) as process:
        yield process


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)
    monkeypatch.chdir(tmp_path)


def called(client: Client, name: str) -> Task:
    (found,) = (task for task in client.tasks() if task.name == name)
    return found


def contents(client: Client, task: Task) -> set[tuple[frozenset[str], bytes]]:
    return {(frozenset(example.classes), client.example_image(task.id, example.id)) for example in client.examples(task.id)}


@pytest.mark.parametrize("several", [False, True])
def test_a_task_leaves_and_comes_back(
    several: bool, client: Client, support: Labelled, queries: Labelled, capsys: Printed
) -> None:
    name = f"a/task {several}"
    examples = [(f"{label}/x", image) for label, image in support]
    if several:
        examples += [("all", image) for _, image in support[::2]]
    task = client.create_task(name, examples, several_labels=several, options={"solver": "ridge"})
    stranger = queries[-1][1]
    task = client.add_examples(task.id, [(None, stranger)], several_labels=several)
    client.predict(task.id, [image for _, image in queries[:3]], remember=True)

    assert main(["export", task.id, "--format", "archive", "--out", "out"]) == 0
    assert "version 2, its history and 3 captures" in capsys.readouterr().out
    own = Path("out") / ".headstart"
    versions = json.loads((own / "versions.json").read_text())["versions"]
    assert [each["version"] for each in versions] == [2, 1]
    files = json.loads((own / "captures" / "captures.json").read_text())["files"]
    assert {(own / "captures" / file).read_bytes() for file in files.values()} == {image for _, image in queries[:3]}
    assert {Path(file).suffix for file in files.values()} == {".png"}

    assert main(["import", f"{name} again", "out"]) == 0
    again = called(client, f"{name} again")
    assert contents(client, again) == contents(client, task)
    assert (again.labels, again.negatives, again.head) == (task.labels, 1, task.head)
    assert main(["export", task.id, "--format", "archive", "--out", "out"]) == 2
    assert main(["import", "third", "out", "--several-labels"]) == 2


def write_label_studio(folder: Path, examples: Labelled) -> Path:
    entries = []
    for number, (label, image) in enumerate(examples):
        name = f"0a1b2c{number:02}-photo {number}.png"
        (folder / f"photo {number}.png").write_bytes(image)
        chosen = {"type": "choices", "from_name": "choice", "to_name": "image", "value": {"choices": [label]}}
        other = {**chosen, "value": {"choices": ["other"]}}
        annotations = [{"result": [other]}, {"result": [chosen]}, {"was_cancelled": True, "result": [other]}]
        address = (
            f"/data/local-files/?d=some/photo%20{number}.png" if number % 2 else f"/data/upload/1/{name.replace(' ', '%20')}"
        )
        data = {"caption": f"{label} {number}", "image": address, "source": "the web"}
        entries.append({"id": number, "data": data, "annotations": annotations, "predictions": []})
    gone = {"caption": "photo 1", "image": "/data/upload/1/gone.png"}  # captioned as another file is called
    entries.append({"id": 98, "data": gone, "annotations": [{"result": [chosen]}]})
    entries.append({"id": 99, "data": {"image": "/data/upload/1/photo 0.png"}, "annotations": []})
    (folder / "export.json").write_text(json.dumps(entries))
    return folder / "export.json"


def write_custom_vision(folder: Path, examples: Labelled) -> Path:
    entries = []
    for number, (label, image) in enumerate(examples):
        id_ = f"6ba7b810-9dad-11d1-80b4-{number:012}"
        (folder / f"{id_}.png").write_bytes(image)
        tag = {"tag_id": "t", "tag_name": label} if number % 2 else {"tagId": "t", "tagName": label, "created": "2024-01-01"}
        entries.append({"id": id_, "width": 32, "height": 32, "tags": [tag]})
    (folder / "images.json").write_text(json.dumps({"images": entries}))
    return folder


def write_csv(folder: Path, examples: Labelled) -> Path:
    labels = sorted({label for label, _ in examples})
    for part, some in (("train", examples[::2]), ("valid", examples[1::2])):
        (folder / part).mkdir()
        rows = [", ".join(["filename", *labels])]
        for number, (label, image) in enumerate(some):
            (folder / part / f"{number}.png").write_bytes(image)
            rows.append(", ".join([f"{number}.png", *("1" if label == each else "0" for each in labels)]))
        (folder / part / "_classes.csv").write_text("\n".join(rows) + "\n")
    return folder


def write_splits(folder: Path, examples: Labelled) -> Path:
    for number, (label, image) in enumerate(examples):
        place = folder / ("train" if number % 3 else "test") / label
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(image)
    return folder


def write_folders(folder: Path, examples: Labelled) -> Path:
    for number, (label, image) in enumerate(examples):
        (folder / label).mkdir(exist_ok=True)
        (folder / label / f"{number}.png").write_bytes(image)
    (folder / "info.json").write_text('{"made": "by hand"}')
    return folder


def write_samples(folder: Path, examples: Labelled) -> Path:
    for label in {label for label, _ in examples}:
        with zipfile.ZipFile(folder / f"{label}-samples.zip", "w") as archive:
            archive.writestr("read me.txt", "no image")
            for number, image in enumerate(image for of, image in examples if of == label):
                archive.writestr(f"{number}.png", image)
    return folder


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (write_label_studio, "Label Studio's JSON"),
        (write_custom_vision, "Custom Vision's JSON"),
        (write_csv, "Roboflow's CSV"),
        (write_splits, "folders of splits"),
        (write_folders, "folders"),
        (write_samples, "Teachable Machine's samples"),
    ],
)
def test_other_tools_folders_are_read(
    write: Callable[[Path, Labelled], Path], kind: str, client: Client, support: Labelled, tmp_path: Path, capsys: Printed
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    assert main(["import", kind, str(write(folder, support))]) == 0
    printed = capsys.readouterr()
    assert f"Imported from {kind}" in printed.out
    assert contents(client, called(client, kind)) == {(frozenset([label]), image) for label, image in support}
    if write is write_label_studio:
        assert "/gone.png: no single image in the folder has this name" in " ".join(printed.err.split())
        assert "photo 0.png: it has no label" in " ".join(printed.err.split())


def test_images_of_several_labels_are_asked_about(client: Client, support: Labelled, tmp_path: Path, capsys: Printed) -> None:
    folder = write_csv(tmp_path, support)
    table = folder / "train" / "_classes.csv"
    header, first, *rest = table.read_text().splitlines()
    table.write_text("\n".join([header, first.replace(" 0", " 1", 1), *rest]))
    assert main(["import", "several", str(folder)]) == 2
    assert "--several-labels" in capsys.readouterr().err
    assert main(["import", "several", str(folder), "--several-labels"]) == 0
    task = called(client, "several")
    assert task.labels == "multiple"
    assert sorted(len(labels) for labels, _ in contents(client, task))[-2:] == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", b"[", "no JSON"),
        ("a.json", b'{"a": 1}', "neither Label Studio's"),
        ("a.json", b"\xff\xfe", "not UTF-8"),
        ("_classes.csv", b"image, a\n1.png, 1\n", "no column"),
        ("_classes.csv", b"filename, a\n1.png, 2\n", "without a 0 or a 1"),
        ("a.zip", b"no zip", "no zip"),
    ],
)
def test_what_is_of_no_known_form_is_refused(name: str, content: bytes, told: str, tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["import", "none", str(tmp_path / name if name.endswith(".json") else tmp_path)]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
