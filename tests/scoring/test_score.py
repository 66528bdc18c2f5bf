"""Scoring beside a real server: the same answers, from every kind of source, for every kind of task."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from headstart import Client, Prediction
from headstart.__main__ import main
from tests.helpers.patches import picture
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess

Printed = pytest.CaptureFixture[str]
SETS = [["red"], ["green"], ["blue"], ["red", "green"], ["red", "blue"], [], ["red"], ["green"], ["blue"]]
BROKEN = {
    "broken.jpg": (b"\xff\xd8\xff\xe0 and nothing else", "image_broken"),
    "empty.png": (b"", "image_unsupported"),
    "text.gif": (b"GIF89a", "image_unsupported"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("score") / "data", *small_flags) as process:
        yield process


@pytest.fixture(scope="module")
def tasks(server: ServerProcess, support: Labelled, queries: Labelled) -> dict[str, str]:
    """The ids of a task of one label an image, one with images of none of its classes, and one of several labels."""
    with httpx.Client(base_url=server.url, timeout=60) as api, Client(server.url) as client:
        files = [("images", (f"{at}.png", image)) for at, (_, image) in enumerate(support[:15])]
        files += [("negatives", (f"n{at}.png", image)) for at, (_, image) in enumerate(queries[-6:])]
        made = api.post("/v1/tasks", files=files, data={"labels": [label for label, _ in support[:15]], "name": "strict"})
        assert made.status_code == 201, made.text
        several = client.create_task("scenes", [(s, picture(s, seed)) for seed, s in enumerate(SETS)], several_labels=True)
        return {"plain": client.create_task("plain", support).id, "strict": made.json()["id"], "scenes": several.id}


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path, queries: Labelled) -> Path:
    folder = tmp_path / "photos"
    for at, (label, image) in enumerate(queries):
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / f"{at}.png").write_bytes(image)
    for name, (content, _) in BROKEN.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def command(small_bundles: Path) -> Any:
    def run(*arguments: object, out: str = "scores.parquet", code: int = 0) -> list[dict[str, Any]]:
        given = ["score", *map(str, arguments), "--out", out, "--bundles-dir", str(small_bundles)]
        assert main(given) == code
        return [] if code else pq.read_table(out).to_pylist()

    return run


def same(row: dict[str, Any], task: str, wanted: Prediction) -> None:
    scores = {each["label"]: each["probability"] for each in row[f"{task}_scores"]}
    assert row[f"{task}_label"] == wanted.label
    assert row[f"{task}_probability"] == pytest.approx(wanted.probability, abs=1e-6)
    assert scores == pytest.approx(wanted.scores, abs=1e-6)
    assert row[f"{task}_novelty"] == pytest.approx(wanted.novelty, abs=1e-4)
    assert row[f"{task}_known"] == wanted.known
    if wanted.labels is not None:
        assert row[f"{task}_labels"] == list(wanted.labels)


def test_answers_are_the_servers_for_every_kind_of_task(
    command: Any, folder: Path, tasks: dict[str, str], client: Client, tmp_path: Path
) -> None:
    found = {row["path"]: row for row in command(folder, *(f"--task={name}" for name in tasks))}
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    assert found.keys() == {str(file) for file in files}
    known = set()
    for name, task in tasks.items():
        for file, wanted in zip(files, client.predict(task, files, top_k=5), strict=True):
            row = found[str(file)]
            assert row["bytes"] == file.stat().st_size
            if isinstance(wanted, Prediction):
                assert (row["error"], row["detail"]) == (None, None)
                same(row, name, wanted)
                known.add((name, wanted.known))
            else:
                assert (row["error"], row["detail"]) == (wanted.code, wanted.detail)
                assert row["error"] == BROKEN[file.name][1]
                assert row[f"{name}_label"] is row[f"{name}_known"] is row[f"{name}_scores"] is None
    assert {("plain", True), ("plain", False), ("strict", False)} <= known
    assert [*tmp_path.glob("scores*")] == [tmp_path / "scores.parquet"]


def test_zips_lists_and_folders_give_the_same(command: Any, folder: Path, tasks: dict[str, str], tmp_path: Path) -> None:
    del tasks
    with zipfile.ZipFile("photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder))
    Path("list.txt").write_text(
        "".join(f"photos/{file.relative_to(folder)}\n" for file in folder.rglob("*.*")) + "photos/gone.jpg\n"
    )
    rows = command(folder, "photos.zip", "list.txt", "--task=plain", "--top-k=2")
    by_place = {
        place: {row["path"].removeprefix(start): row for row in rows if row["path"].startswith(start)}
        for place, start in (("folder", f"{folder}/"), ("zip", f"{tmp_path}/photos.zip/"), ("list", "photos/"))
    }
    assert len(rows) == sum(map(len, by_place.values()))
    gone = by_place["list"].pop("gone.jpg")
    assert (gone["error"], gone["bytes"], gone["plain_label"]) == ("file_unreadable", None, None)
    varying = ("path", "plain_probability", "plain_scores")  # the last bits depend on the other images of a batch
    for name, row in by_place["folder"].items():
        assert len(row["plain_scores"] or "12") == 2
        for place in ("zip", "list"):
            there = by_place[place][name]
            assert {**there, **dict.fromkeys(varying)} == {**row, **dict.fromkeys(varying)}
            assert there["plain_probability"] == pytest.approx(row["plain_probability"], abs=1e-6)


def test_a_file_of_a_task_needs_no_server(
    command: Any, folder: Path, tasks: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    del tasks
    assert main(["classifier", "strict", "strict.safetensors"]) == 0
    assert main(["classifier", "strict", "strict.safetensors"]) == 2
    assert main(["classifier", "strict", "strict.bin"]) == 2
    wanted = command(folder, "--task=strict", out="first.parquet")
    monkeypatch.setenv("HEADSTART_URL", "http://127.0.0.1:9")
    assert command(folder, "--task=strict.safetensors") == wanted
    Path("other.safetensors").write_bytes(Path("strict.safetensors").read_bytes()[:-1])
    capsys.readouterr()
    command(folder, "--task=other.safetensors", out="other.parquet", code=2)
    assert "not a head of this release" in capsys.readouterr().err


def test_another_file_of_the_bundle_is_refused(folder: Path, tasks: dict[str, str], capsys: Printed) -> None:
    del tasks
    assert main(["score", str(folder), "--task=plain", "--out=scores.parquet"]) == 2
    assert "needs bundle small@1, which is not here" in capsys.readouterr().err
    assert not Path("scores.parquet").exists()


def test_kept_embeddings_answer_for_the_next_task_without_the_images(command: Any, folder: Path, tasks: dict[str, str]) -> None:
    del tasks
    wanted = command(folder, "--task=strict", out="wanted.parquet")
    command(folder, "--task=plain", "--keep-embeddings=kept", out="first.parquet")
    for file in folder.rglob("*.*"):
        file.write_bytes(b"changed")
    assert command(folder, "--task=strict", "--keep-embeddings=kept") == wanted


def test_a_second_call_makes_nothing_and_other_settings_are_refused(
    command: Any, folder: Path, tasks: dict[str, str], capsys: Printed
) -> None:
    del tasks
    wanted = command(folder, "--task=plain")
    written = Path("scores.parquet").stat().st_mtime_ns
    assert command(folder, "--task=plain") == wanted
    assert Path("scores.parquet").stat().st_mtime_ns == written
    capsys.readouterr()
    command(folder, "--task=plain", "--top-k=1", code=2)
    assert "was begun with top_k 5, and now 1" in capsys.readouterr().err
    Path("other.parquet").write_text("of another program")
    command(folder, "--task=plain", out="other.parquet", code=2)
    assert "was not made by this command" in capsys.readouterr().err
    assert Path("other.parquet").read_text() == "of another program"


def test_what_has_no_images_is_refused(command: Any, tasks: dict[str, str], tmp_path: Path, capsys: Printed) -> None:
    del tasks
    (tmp_path / "none").mkdir()
    command("none", "--task=plain", code=2)
    assert "there are no images in none" in capsys.readouterr().err


def test_progress_goes_to_stderr_and_json_alone_to_stdout(
    folder: Path, small_bundles: Path, tasks: dict[str, str], capsys: Printed
) -> None:
    del tasks
    given = ["score", str(folder), "--task=plain", "--out=scores.parquet", f"--bundles-dir={small_bundles}"]
    assert main(given) == 0
    assert "53 of 53 images, " in (told := capsys.readouterr()).err
    assert " a second, 0:00:00 left" in told.err
    assert main(["--json", *given]) == 0
    assert json.loads(capsys.readouterr().out) == {"images": 53, "file": "scores.parquet"}
