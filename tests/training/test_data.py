"""Datasets: the same images whichever way they are stored, and errors that say where to look."""

import os
import sys
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.manifest import InputSpec
from tests.helpers.images import encode, exif, noise, png16
from training.data import loading, memory
from training.data.dataset import DataError, ImageSet
from training.data.loading import load_images, read_originals
from training.data.sources import find_classes, list_left_out

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
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(sorted(iterdir(self), reverse=True)))
    assert_equal(load_images([tmp_path], CLASSES, SPEC), sorted_by_chance)


@pytest.mark.parametrize("how", FORMS)
def test_a_class_without_images_is_named(how: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fewer than 1 usable images in .*: unicorn \(0\)"):
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


def test_files_of_the_same_name_in_two_paths_are_two_images(tmp_path: Path) -> None:
    one, other = encode(noise(8, 8, seed=1)), encode(noise(8, 8, seed=2))
    for name, image in (("one", one), ("other", other)):
        (tmp_path / name / "ant").mkdir(parents=True)
        (tmp_path / name / "ant" / "1.png").write_bytes(image)
    paths = [tmp_path / "one", tmp_path / "other"]
    found = load_images(paths, ["ant"], SPEC)
    assert len(set(found.sources)) == 2
    assert read_originals(paths, found.sources) == [one, other]


def test_a_damaged_compressed_zip_member_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("ant/1.png", bytes(10_000))
    path.write_bytes(path.read_bytes().replace(zlib.compress(bytes(10_000), 6, -15)[:12], b"\xff" * 12))
    with pytest.raises(DataError, match=r"a\.zip/ant/1\.png: cannot be read: .*decompressing"):
        load_images([path], ["ant"], SPEC)


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


@pytest.mark.parametrize("how", FORMS)
def test_classes_are_found_however_they_are_stored(how: str, tmp_path: Path) -> None:
    assert find_classes(stored(how, tmp_path)) == tuple(sorted(CLASSES))


def test_a_class_folder_without_an_image_is_not_lost_unseen(tmp_path: Path) -> None:
    (folder(tmp_path) / "bear").mkdir()
    (tmp_path / "bear" / "notes.txt").write_bytes(b"about bears")
    (tmp_path / ".thumbnails").mkdir()
    classes = find_classes([tmp_path])
    assert classes == ("Möwe", "ant", "bear", "zebra")
    with pytest.raises(DataError, match=r": bear \(0\);"):
        load_images([tmp_path], classes, SPEC)


def test_a_folder_too_high_up_is_told_from_one_without_images(tmp_path: Path) -> None:
    (folder(tmp_path / "data" / "train") / "stray.png").unlink()
    (tmp_path / "empty" / "ant").mkdir(parents=True)
    with pytest.raises(DataError, match=r"data has no class folder .* give the one whose folders are the classes"):
        find_classes([tmp_path / "data"])
    with pytest.raises(DataError, match=r"empty has no class folder with JPEG, PNG, WebP, HEIC or AVIF files in it$"):
        find_classes([tmp_path / "empty"])


PHOTO = Image.new("RGB", (40, 30), "teal")
JPEG = encode(PHOTO, "JPEG", quality=95)
BROKEN: dict[str, bytes] = {
    "empty.jpg": b"",
    "truncated.jpg": JPEG[:-40],
    "text.jpg": b"an image, soon",
    "gif.png": encode(PHOTO, "GIF"),
}
REASONS = {
    "empty.jpg": "the file is empty",
    "truncated.jpg": "the image is truncated or damaged and cannot be decoded",
    "text.jpg": "the file is not a JPEG, PNG, WebP, HEIC or AVIF image",
    "gif.png": "the file is not a JPEG, PNG, WebP, HEIC or AVIF image",
    "folder.jpg": "cannot be read: Is a directory",
    "link.jpg": "cannot be read: No such file or directory",
    "secret.jpg": "cannot be read: Permission denied",
}


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the classes `good` (13 images) and `mixed` (as many broken files as REASONS, and as many images)."""
    for name in ("good", "mixed"):
        (tmp_path / name).mkdir()
        for number in range(13 if name == "good" else len(REASONS)):
            (tmp_path / name / f"{number}.jpg").write_bytes(JPEG)
    for name, content in BROKEN.items():
        (tmp_path / "mixed" / name).write_bytes(content)
    (tmp_path / "mixed" / "folder.jpg").mkdir()
    (tmp_path / "mixed" / "link.jpg").symlink_to(tmp_path / "nothing.jpg")
    (tmp_path / "mixed" / "secret.jpg").write_bytes(JPEG)
    read_bytes = Path.read_bytes

    def guarded(path: Path) -> bytes:  # the rights of a file do not bind root, who may be running this
        if path.name == "secret.jpg":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", guarded)
    return tmp_path


def test_broken_files_are_skipped_up_to_a_share_and_listed_with_their_reasons(damaged: Path) -> None:
    found = load_images([damaged], ("mixed", "good"), SPEC, broken_share=7 / 27)
    assert {Path(one.source).name: one.reason for one in found.skipped} == REASONS
    assert str(found.skipped[0]) == f"{damaged}/mixed/empty.jpg: the file is empty"
    assert found.labels.tolist() == [0] * 7 + [1] * 13
    assert found.images.shape == (20, 8, 8, 3)
    assert (abs(found.images.astype(int) - [0, 128, 128]) <= 3).all()
    assert len(found.sources) == 20
    assert not {source.split("/")[1] for source in found.sources} & REASONS.keys()


def test_more_broken_files_than_allowed_are_an_error_that_names_them(damaged: Path) -> None:
    with pytest.raises(DataError, match=r"^more than 25\.0% of 27 images cannot be used: .*/empty\.jpg: ") as caught:
        load_images([damaged], ("mixed", "good"), SPEC, broken_share=0.25)
    assert all(f"mixed/{name}: {reason}" in str(caught.value) for name, reason in REASONS.items())
    with pytest.raises(DataError, match=r"^images that cannot be used: .*mixed/empty\.jpg"):
        load_images([damaged], ("mixed",), SPEC)


def test_a_long_list_of_broken_files_is_cut(tmp_path: Path) -> None:
    (tmp_path / "ant").mkdir()
    for number in range(14):
        (tmp_path / "ant" / f"{number:02}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"09\.png: the file is empty and 4 more; --broken-share"):
        load_images([tmp_path], ("ant",), SPEC)


def test_every_class_with_too_few_usable_images_is_named_with_its_count(damaged: Path) -> None:
    with pytest.raises(DataError, match=r"fewer than 14 usable images in .*: good \(13\); add some, or leave them out$"):
        load_images([damaged], ("mixed", "good"), SPEC, broken_share=1, minimum=14)  # 14 files are mixed, so far as one sees
    with pytest.raises(DataError, match=r"fewer than 8 usable images in .*: mixed \(7\); add"):
        load_images([damaged], ("mixed", "good"), SPEC, broken_share=1, minimum=8)
    with pytest.raises(DataError, match=r": mixed \(14\), good \(13\); add some, or leave them out$"):
        load_images([damaged], ("mixed", "good"), SPEC, minimum=20)
    assert len(load_images([damaged], ("mixed", "good"), SPEC, broken_share=1, minimum=7)) == 20


def test_another_datasets_classes_are_not_listed_one_by_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^none of the 30 classes asked for is in .*: c0, .*, c9 and 20 more$"):
        load_images([folder(tmp_path)], [f"c{number}" for number in range(30)], SPEC)


GREY16 = np.full((30, 40), 0x8000, dtype=np.uint16)
HALVES = Image.new("RGB", (40, 30), "red")
HALVES.paste("blue", (0, 0, 20, 30))  # on the left
PICTURES: dict[str, tuple[bytes, tuple[int, int, int], tuple[int, int, int]]] = {
    # file: content, colour of the first and of the last pixel
    "CMYK.JPG": (encode(PHOTO.convert("CMYK"), "JPEG", quality=95), (0, 128, 128), (0, 128, 128)),
    "grey.jpeg": (encode(Image.new("L", (9, 70), 200), "JPEG"), (200, 200, 200), (200, 200, 200)),
    "sixteen.PNG": (png16(GREY16), (128, 128, 128), (128, 128, 128)),
    "palette.png": (encode(HALVES.quantize(4)), (0, 0, 255), (255, 0, 0)),
    "photo.WebP": (encode(HALVES, "WEBP"), (0, 0, 255), (255, 0, 0)),
    "turned.jpg": (encode(HALVES, "JPEG", exif=exif(3), quality=95, subsampling=0), (255, 0, 0), (0, 0, 255)),
    "named like a jpeg.jpg": (encode(HALVES), (0, 0, 255), (255, 0, 0)),
    "Füße 写真.png": (encode(HALVES), (0, 0, 255), (255, 0, 0)),
    "one of 30 megapixels.jpg": (encode(Image.new("RGB", (6000, 5000), "teal"), "JPEG"), (0, 128, 128), (0, 128, 128)),
}


@pytest.mark.parametrize("how", ["folder", "zip"])
def test_images_of_any_kind_and_size_are_fitted(how: str, tmp_path: Path) -> None:
    path = tmp_path / "data" / "all"
    path.mkdir(parents=True)
    for name, (content, _, _) in PICTURES.items():
        (path / name).write_bytes(content)
        (path / f"._{name}").write_bytes(b"of a desktop")
    if how == "zip":
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as target:
            for file in path.iterdir():
                target.write(file, f"my data/all/{file.name}")
    found = load_images([tmp_path / ("data" if how == "folder" else "data.zip")], ("all",), SPEC)
    assert [source.removeprefix("all/") for source in found.sources] == sorted(PICTURES)
    for source, image in zip(found.sources, found.images.astype(int), strict=True):
        _, first, last = PICTURES[source.removeprefix("all/")]
        assert abs(image[0, 0] - first).max() <= 4, source
        assert abs(image[-1, -1] - last).max() <= 4, source


def test_class_names_are_the_same_in_either_form_of_unicode(tmp_path: Path) -> None:
    (tmp_path / unicodedata.normalize("NFD", "Möwe")).mkdir()
    (tmp_path / unicodedata.normalize("NFD", "Möwe") / "1.png").write_bytes(FILES["ant/00.png"])
    assert find_classes([tmp_path]) == ("Möwe",)
    assert load_images([tmp_path], ("Möwe",), SPEC).sources == ("Möwe/1.png",)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes on Linux only")
def test_file_names_that_are_not_utf8_stay_apart_and_can_be_printed(tmp_path: Path) -> None:
    (tmp_path / "ant").mkdir()
    for name in (b"1\xe9.png", b"1\xe8.png"):
        (tmp_path / "ant" / os.fsdecode(name)).write_bytes(FILES["ant/00.png"])
    (tmp_path / "ant" / os.fsdecode(b"2\xe9.png")).write_bytes(b"")
    found = load_images([tmp_path], find_classes([tmp_path]), SPEC, broken_share=0.5)
    assert found.sources == ("ant/1\\xe8.png", "ant/1\\xe9.png")
    assert str(found.skipped[0]).encode()


@pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes on Linux only")
def test_classes_whose_names_are_not_utf8_are_refused_by_name(tmp_path: Path) -> None:
    for name in (b"M\xf6we", b"M\xe4we"):
        (tmp_path / os.fsdecode(name)).mkdir()
        (tmp_path / os.fsdecode(name) / "1.png").write_bytes(FILES["ant/00.png"])
    with pytest.raises(DataError, match=r"the folder M\\x(f6|e4)we has a name that is not UTF-8"):
        find_classes([tmp_path])


OTHERS = {
    "ant/1.jfif": JPEG,
    "ant/2.jpe": JPEG,
    "ant/3": JPEG,
    "ant/4.photo": FILES["ant/00.png"],
    "ant/5.avif": encode(PHOTO, "AVIF"),
    "bee/1.jpg": JPEG,
    "bee/2.gif": encode(PHOTO, "GIF"),
    "bee/3.bmp": encode(PHOTO, "BMP"),
    "bee/notes.txt": b"about bees",
    "bee/empty": b"",
    "bee/queens/1.jpg": JPEG,
    "loose.jpg": JPEG,
    "labels.csv": b"a,b",
    "bee/.hidden.jpg": JPEG,
    ".git/1.jpg": JPEG,
}


@pytest.mark.parametrize("how", ["folder", "zip"])
def test_used_and_listed_files_are_all_that_are_visible(how: str, tmp_path: Path) -> None:
    path = tmp_path / "data"
    for name, content in OTHERS.items():
        if how == "zip" and "queens" in name:  # there, the deepest folder is the class
            continue
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    if how == "zip":
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as target:
            for file in path.rglob("*"):
                if file.is_file():
                    target.write(file, file.relative_to(path))
        path = tmp_path / "data.zip"
    found = load_images([path], find_classes([path]), SPEC, broken_share=0.5)
    assert found.sources == ("ant/1.jfif", "ant/2.jpe", "ant/3", "ant/4.photo", "ant/5.avif", "bee/1.jpg")
    listed = {skipped.source.removeprefix(f"{path}/"): skipped.reason for skipped in (*found.skipped, *list_left_out([path]))}
    unreadable = "the file is not a JPEG, PNG, WebP, HEIC or AVIF image"
    expected = {
        "bee/2.gif": unreadable,
        "bee/3.bmp": unreadable,
        "bee/notes.txt": "not an image",
        "bee/empty": "not an image",
        "bee/queens/1.jpg": "in a folder within a class folder",
        "loose.jpg": "not in a class folder",
        "labels.csv": "not in a class folder" if how == "folder" else "not an image",
    }
    assert listed == {name: reason for name, reason in expected.items() if how == "folder" or "queens" not in name}


@pytest.mark.parametrize(
    "files",
    [
        ("train/ant/1.jpg", "train/bee/1.jpg", "train/loose.jpg", "val/ant/2.jpg", "val/bee/2.jpg", "val/loose.jpg"),
        ("train/ant/1.jpg", "train/loose.jpg", "val/ant/2.jpg", "val/loose.jpg", "extra/1.jpg"),
        ("train/ant/1.jpg", "train/loose.jpg", "val/bee/2.jpg", "val/loose.jpg"),
        ("train/ant/1.jpg", "val/ant/2.jpg", "loose.jpg"),
    ],
)
def test_the_parts_of_a_dataset_are_no_classes_for_a_few_loose_images(files: tuple[str, ...], tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(JPEG)
    with pytest.raises(DataError, match=r"the folder whose folders are the classes|the one whose folders are the classes"):
        find_classes([tmp_path])


def test_images_that_do_not_fit_in_memory_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "available_memory", lambda: 9 * 8 * 8 * 3 - 1)
    monkeypatch.setattr(loading, "load_image", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match=r"9 images at 8 x 8 take 0\.0 GB of memory"):
        load_images([folder(tmp_path)], CLASSES, SPEC)


def test_available_memory_is_the_least_of_what_bounds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory.available_memory() <= total
    container, meminfo = tmp_path / "memory.max", tmp_path / "meminfo"
    monkeypatch.setattr(memory, "_CONTAINER_LIMIT", container)
    monkeypatch.setattr(memory, "_MEMINFO", meminfo)
    assert memory.available_memory() == total
    meminfo.write_text("MemTotal:  9000 kB\nMemFree:  10 kB\nMemAvailable:  4000 kB\n")
    assert memory.available_memory() == 4000 * 1024
    container.write_text("max\n")
    assert memory.available_memory() == 4000 * 1024
    container.write_text("1000000\n")
    assert memory.available_memory() == 1_000_000


def test_folders_of_one_name_are_classes_of_their_own_where_the_split_names_them_in_full(tmp_path: Path) -> None:
    paths = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for seed, path in enumerate(paths):
        with zipfile.ZipFile(path, "w") as target:
            for alphabet in ("Greek", "Latin"):
                for number in (1, 2):
                    name = f"all/{alphabet}{seed}/letter1/{number}.png"
                    target.writestr(name, encode(noise(8, 8, seed=10 * seed + number + len(alphabet))))
    found = load_images(paths, ("Latin0/letter1", "Greek1/letter1"), SPEC)
    assert found.sources == ("Latin0/letter1/1.png", "Latin0/letter1/2.png", "Greek1/letter1/1.png", "Greek1/letter1/2.png")
    np.testing.assert_array_equal(found.images[0], noise(8, 8, seed=6))
    with pytest.raises(DataError, match="are all/Greek0/letter1 and all/Latin0/letter1 one class"):
        load_images(paths, ("letter1",), SPEC)
