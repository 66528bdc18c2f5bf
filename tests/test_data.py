"""Datasets: the same images whichever way they are stored, and errors that say where to look."""

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from models.manifest import InputSpec
from tests.images import encode, noise
from training.data import DataError, ImageSet, load_images, read_originals, read_split

SPEC = InputSpec(height=8, width=8)
CLASSES = ("zebra", "ant", "Möwe")
FILES = {
    f"{name}/{number:02}.{suffix}": encode(noise(8, 8, seed=10 * k + number))
    for k, name in enumerate(CLASSES)
    for number, suffix in enumerate(["png", "PNG", "png"])
}
NOT_IMAGES = {"ant/notes.txt": b"about ants", "README.md": b"", "stray.png": b"in no class"}


def folder(root: Path, files: Iterable[str] = tuple(FILES)) -> Path:
    for name in [*files, *NOT_IMAGES]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((FILES | NOT_IMAGES)[name])
    return root


def archive(path: Path, files: Iterable[str] = tuple(FILES), prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name in [*files, *NOT_IMAGES]:
            target.writestr(prefix + name, (FILES | NOT_IMAGES)[name])
    return path


def stored(how: str, root: Path) -> list[Path]:
    """The dataset in one of its forms, its files written in an order of their own."""
    names = list(FILES)
    match how:
        case "folder":
            return [folder(root / "data", names[::-1])]
        case "zip":
            return [archive(root / "data.zip", names[::-1])]
        case "zip of a folder":
            return [archive(root / "data.zip", names, prefix="photos/all/")]
        case _:
            return [archive(root / "a.zip", names[1::2]), folder(root / "b", names[:3:2]), archive(root / "c.zip", names[4::2])]


FORMS = ["folder", "zip", "zip of a folder", "zips and a folder"]


def assert_equal(one: ImageSet, other: ImageSet) -> None:
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert (one.classes, one.sources) == (other.classes, other.sources)


@pytest.mark.parametrize("how", FORMS)
def test_a_dataset_is_the_same_however_it_is_stored(how: str, tmp_path: Path) -> None:
    paths = stored(how, tmp_path)
    found = load_images(paths, CLASSES, SPEC)
    assert found.classes == CLASSES
    assert found.sources == tuple(FILES)
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for number, image in enumerate(found.images):
        np.testing.assert_array_equal(image, noise(8, 8, seed=10 * (number // 3) + number % 3))
    assert [indices.tolist() for indices in found.indices_by_class()] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert read_originals(paths, found.sources[::-1]) == [FILES[source] for source in found.sources[::-1]]


def test_only_the_classes_asked_for_are_read_in_their_order(tmp_path: Path) -> None:
    found = load_images([folder(tmp_path)], ("ant", "zebra"), SPEC)
    assert found.sources == tuple(name for label in ("ant", "zebra") for name in FILES if name.startswith(label))


def test_the_order_does_not_depend_on_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_by_chance = load_images([folder(tmp_path)], CLASSES, SPEC)
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: sorted(glob(self, pattern), reverse=True))
    assert_equal(load_images([tmp_path], CLASSES, SPEC), sorted_by_chance)


@pytest.mark.parametrize("how", FORMS)
def test_a_class_without_images_is_named(how: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images of unicorn"):
        load_images(stored(how, tmp_path), (*CLASSES, "unicorn"), SPEC)


@pytest.mark.parametrize("how", FORMS)
def test_a_broken_image_is_named(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILES, "ant/01.PNG", FILES["ant/01.PNG"][:60])
    with pytest.raises(DataError, match=r"ant/01\.PNG: the image is truncated"):
        load_images(stored(how, tmp_path), CLASSES, SPEC)


def test_a_path_that_is_no_dataset_is_named(tmp_path: Path) -> None:
    file = tmp_path / "data.tar"
    file.write_bytes(b"not a zip")
    for path in (file, tmp_path / "missing"):
        with pytest.raises(DataError, match=path.name):
            load_images([path], CLASSES, SPEC)


def test_an_original_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ant/99\.png"):
        read_originals([folder(tmp_path)], ["ant/00.png", "ant/99.png"])


SPLIT = {"dataset": "toys", "train": ["a", "b"], "validation": ["c"], "test": ["d"]}


def test_a_split_names_the_classes_of_each_part(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text(json.dumps(SPLIT))
    split = read_split(file)
    assert split.dataset == "toys"
    assert [split.classes(part) for part in ("train", "validation", "test")] == [("a", "b"), ("c",), ("d",)]


@pytest.mark.parametrize(("name", "sizes"), [("cifar-fs", (64, 16, 20)), ("fc100", (60, 20, 20))])
def test_shipped_splits_have_the_published_sizes(name: str, sizes: tuple[int, int, int]) -> None:
    split = read_split(name)
    assert tuple(len(split.classes(part)) for part in ("train", "validation", "test")) == sizes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read split file"),
        ("{", "cannot read split file"),
        ("[]", "cannot read split file"),
        (json.dumps({key: SPLIT[key] for key in ("dataset", "train", "test")}), "'validation'"),
        (json.dumps(SPLIT | {"test": ["d", "b"]}), "more than one place: b"),
        (json.dumps(SPLIT | {"train": ["a", "a"]}), "more than one place: a"),
    ],
)
def test_a_split_that_cannot_be_used_is_named(content: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "my-split.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_split(file)
    assert "my-split.json" in str(caught.value)


def test_files_of_the_same_name_in_two_paths_are_two_images(tmp_path: Path) -> None:
    one, other = encode(noise(8, 8, seed=1)), encode(noise(8, 8, seed=2))
    for name, image in (("one", one), ("other", other)):
        (tmp_path / name / "ant").mkdir(parents=True)
        (tmp_path / name / "ant" / "1.png").write_bytes(image)
    paths = [tmp_path / "one", tmp_path / "other"]
    found = load_images(paths, ["ant"], SPEC)
    assert len(set(found.sources)) == 2
    assert read_originals(paths, found.sources) == [one, other]


def test_a_damaged_zip_member_is_named_and_a_desktops_leavings_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("ant/1.png", FILES["ant/00.png"])
        target.writestr("__MACOSX/ant/._1.png", b"resource fork")
    assert load_images([path], ["ant"], SPEC).sources == ("ant/1.png",)
    data = path.read_bytes().replace(FILES["ant/00.png"][-20:-12], b"damaged!")
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"ant/1\.png"):
        load_images([path], ["ant"], SPEC)
