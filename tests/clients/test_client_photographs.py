"""The client and photographs: what it takes, makes smaller, leaves out and names."""

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from headstart import Client, InvalidImage, NoImages, Task, UnreadableImages
from headstart.__main__ import main
from headstart.images.folders import IMAGE_SUFFIXES as SUFFIXES_OF_CLIENT
from headstart.images.formats import is_readable, shrink
from models.images.preprocess import ImageError, load_image, media_type
from models.manifest import InputSpec
from tests.helpers.images import encode, exif, noise, photograph
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess
from training.data.files import IMAGE_SUFFIXES

Capture = pytest.CaptureFixture[str]
BROKEN = b"this is no image"


@pytest.fixture
def task(client: Client) -> Task:
    return client.create_task("photographs", SAMPLES / "support")


def heic(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(picture).save(file)
    return file.getvalue()


def test_the_lists_of_client_and_trainer_agree_with_what_is_read() -> None:
    assert SUFFIXES_OF_CLIENT == IMAGE_SUFFIXES
    picture = photograph(16, 16)
    forms = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
    for content in (*(encode(picture, form) for form in forms), heic(picture), BROKEN, b"", b"\0\0\0\x18ftypmp42"):
        try:
            media_type(content)
        except ImageError:
            assert not is_readable(content)
        else:
            assert is_readable(content)


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "path", "open file", "Pillow", "NumPy"])
def test_images_are_taken_in_every_form(client: Client, task: Task, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"  # lossless, so that every form shows the same pixels
    path.write_bytes(encode(photograph(60, 40)))
    with path.open("rb") as opened, Image.open(path) as picture:
        given: Any = {
            "bytes": path.read_bytes(),
            "bytearray": bytearray(path.read_bytes()),
            "path": path,
            "open file": opened,
            "Pillow": picture,
            "NumPy": np.asarray(picture.convert("RGB")),
        }[kind]
        one, several = client.predict(task.id, given), client.predict(task.id, [path, path])
        assert len(one) == 1
        assert one.checked()[0].scores == pytest.approx(several.checked()[0].scores, abs=1e-4)
        made = client.create_task(kind, [("a", given if kind != "open file" else io.BytesIO(path.read_bytes())), ("b", path)])
        assert made.examples == 2


def test_what_is_no_image_is_told_by_its_type(client: Client, task: Task) -> None:
    with pytest.raises(TypeError, match=r"^images\[0\]: .* a Pillow image or a NumPy array, not float"):
        client.predict(task.id, [1.5])  # type: ignore[list-item]
    batch = np.stack([noise(8, 8, seed=seed) for seed in range(3)])
    assert len(client.predict(task.id, batch)) == 3


def test_a_picture_in_memory_needs_pillow(client: Client, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)  # as where Pillow is not installed
    with pytest.raises(TypeError, match="install Pillow; or give paths"):
        client.predict(task.id, noise(8, 8))


def test_a_pillow_image_keeps_its_orientation(client: Client, task: Task) -> None:
    data = encode(photograph(60, 40), "JPEG", exif=exif(6))
    with Image.open(io.BytesIO(data)) as picture:
        of_picture = client.predict(task.id, picture)
    assert of_picture.checked()[0].scores == pytest.approx(client.predict(task.id, data).checked()[0].scores, abs=1e-4)


def test_large_photographs_are_made_smaller_and_look_the_same() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    spec = InputSpec(height=112, width=112)
    pictures = {
        "JPEG": encode(photograph(1600, 1200), "JPEG", quality=92, icc_profile=profile),
        "turned": encode(photograph(1600, 1200), "JPEG", quality=92, exif=exif(6)),
        "grey": encode(photograph(1600, 1200).convert("L"), "JPEG", quality=92),
        "PNG": encode(photograph(1000, 1400)),
        "WebP": encode(photograph(1000, 1400), "WEBP"),
        "HEIC": heic(photograph(800, 700)),
    }
    for name, data in pictures.items():
        small = shrink(data, 112)
        with Image.open(io.BytesIO(small)) as picture:
            assert (picture.format, min(picture.size)) == ("JPEG", 512), name
            assert bool(picture.info.get("icc_profile")) == (name == "JPEG")
            assert not picture.getexif()
        assert len(small) < 0.8 * len(data), name
        difference = load_image(small, spec).astype(float) - load_image(data, spec)
        assert np.abs(difference).mean() < 1.5, name


def test_what_would_not_gain_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    transparent = encode(noise(400, 400, 4))
    small = encode(photograph(500, 700), "PNG")
    for data in (transparent, small, b"\xff\xd8\xff" + bytes(200_000), bytes(200_000)):
        assert len(data) > 100_000
        assert shrink(data, 112) == data
    large = encode(photograph(900, 900))
    assert len(shrink(large, 112)) < len(large)
    monkeypatch.setitem(sys.modules, "PIL", None)  # as where Pillow is not installed
    assert shrink(large, 112) == large


def test_only_examples_are_made_smaller_and_only_if_wanted(client: Client, support: Labelled) -> None:
    large = encode(photograph(1000, 800))
    made = client.create_task("smaller", [*support, ("fish", large)])
    whole = client.create_task("whole", [*support, ("fish", large)], shrink=False)
    sizes = [[example.bytes for example in client.examples(each.id)][-1] for each in (made, whole)]
    assert sizes[0] < len(large) / 5
    assert sizes[1] == len(large)
    *_, example = client.examples(made.id)
    with Image.open(io.BytesIO(client.example_image(made.id, example.id))) as picture:
        assert min(picture.size) == 512
    assert client.add_examples(whole.id, [("fish", large)]).examples == 27
    assert [example.bytes for example in client.examples(whole.id)][-1] == sizes[0]


def test_a_refused_image_is_named_by_its_path(client: Client, task: Task, support: Labelled, tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(BROKEN)
    with pytest.raises(InvalidImage, match=rf"^{path}: the file is not a JPEG") as caught:
        client.create_task("never", [*support, ("fish", path), ("fish", BROKEN)])
    assert "image 27: the file is not" in str(caught.value)
    with pytest.raises(InvalidImage, match=rf"^{path}: .*the file is not a JPEG"):
        client.predict(task.id, path)
    with pytest.raises(UnreadableImages, match=rf"^{path}: the file is not a JPEG"):
        client.predict(task.id, [support[0][1], path]).checked()
    assert "never" not in {each.name for each in client.tasks()}


def test_images_that_cannot_be_read_are_left_out_if_asked(client: Client, support: Labelled) -> None:
    told: list[tuple[str, str]] = []
    task = client.create_task("some", [("fish", BROKEN), *support, ("fish", b"")], broken=lambda *each: told.append(each))
    assert (task.version, task.examples) == (1, 25)
    assert [name for name, _ in told] == ["image 1", "image 27"]
    told.clear()
    assert (
        client.add_examples(task.id, [("fish", support[5][1]), ("fish", BROKEN)], broken=lambda *each: told.append(each)).version
        == 2
    )
    assert len(told) == 1


def test_a_class_of_which_nothing_can_be_read_is_not_lost(client: Client, task: Task, support: Labelled) -> None:
    with pytest.raises(NoImages, match="no image of poppy can be read"):
        client.create_task("without poppies", [*support, ("poppy", BROKEN)], broken=lambda *_: None)
    assert "without poppies" not in {each.name for each in client.tasks()}
    with pytest.raises(NoImages, match="no image of poppy can be read"):
        client.add_examples(task.id, [*support, ("poppy", BROKEN)], broken=lambda *_: None)
    assert client.task(task.id).version == task.version
    with pytest.raises(InvalidImage):
        client.create_task("nothing", [("a", BROKEN), ("b", BROKEN)], broken=lambda *_: None)


def folder(root: Path) -> dict[str, str]:
    """Makes a folder as people have them; the files that are no use, and why."""
    picture = encode(photograph(20, 20), "JPEG")
    files = {
        "cat/1.jpg": picture,
        "cat/2.JPE": picture,
        "cat/3.jfif": encode(photograph(20, 20, 1), "JPEG"),
        "cat/4": encode(photograph(20, 20, 2)),
        "cat/5.heic": heic(photograph(64, 64)),
        "dog/1.avif": encode(photograph(20, 20, 3), "AVIF"),
        "dog/2.webp": encode(photograph(20, 20, 4), "WEBP"),
        "dog/.hidden.jpg": picture,
        "dog/notes.txt": b"about dogs",
        "dog/3.gif": encode(photograph(20, 20), "GIF"),
        "dog/4.jpg": picture[:200],
        "loose.jpg": picture,
        "labels.csv": b"a,b",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    unreadable = "the file is not a JPEG, PNG, WebP, HEIC or AVIF image"
    return {
        "dog/notes.txt": "not an image",
        "dog/3.gif": unreadable,
        "dog/4.jpg": "the image is truncated or damaged and cannot be decoded",
        "loose.jpg": "not in a class folder",
        "labels.csv": "not an image",
    }


def test_used_and_listed_files_are_all_that_are_visible(
    client: Client, server: ServerProcess, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)
    unused = folder(tmp_path)
    assert main(["create", "of all kinds", str(tmp_path), "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{tmp_path}/dog/3.gif: the file is not" in err
    assert f"{tmp_path}/dog/4.jpg: the image is truncated" in err
    assert "--skip-broken" in err

    assert main(["create", "of all kinds", str(tmp_path), "--skip-broken"]) == 0
    listed = [line.removeprefix(f"headstart: left out {tmp_path}/") for line in capsys.readouterr().err.splitlines()]
    assert sorted(listed) == sorted(f"{name}: {reason}" for name, reason in unused.items())
    (task,) = [task for task in client.tasks() if task.name == "of all kinds"]
    assert {size.label: size.examples for size in task.classes} == {"cat": 5, "dog": 2}

    assert main(["add", task.id, str(tmp_path), "--skip-broken"]) == 0
    out, err = capsys.readouterr()
    assert "Added 7 examples" in out
    assert len(err.splitlines()) == len(unused)


def test_what_is_no_file_is_told_too(client: Client, server: ServerProcess, tmp_path: Path, capsys: Capture) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "dog").mkdir(parents=True)
    (elsewhere / "dog" / "1.png").write_bytes(encode(photograph(20, 20)))
    birds = tmp_path / "birds"
    (birds / "cat").mkdir(parents=True)
    (birds / "cat" / "1.png").write_bytes(encode(photograph(20, 20, 1)))
    (birds / "dog").symlink_to(elsewhere / "dog")
    (birds / "cat" / "2.png").symlink_to("/nowhere")
    (birds / "cat" / "more").symlink_to(elsewhere)
    os.mkfifo(birds / "cat" / "3.png")
    os.mkfifo(birds / "cat" / "pipe")
    name = "links and pipes"
    assert main(["create", name, str(birds), "--url", server.url]) == 0
    listed = [line.removeprefix(f"headstart: left out {birds}/cat/") for line in capsys.readouterr().err.splitlines()]
    assert listed == [
        "2.png: a link to nothing",
        "3.png: not a file",
        "more: a link to a folder, which is not followed",
        "pipe: not a file",
    ]
    (task,) = [task for task in client.tasks() if task.name == name]
    assert {size.label: size.examples for size in task.classes} == {"cat": 1, "dog": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes on Linux only")
def test_names_that_are_not_utf8(tmp_path: Path, capsys: Capture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)
    for name in (b"cat", b"dog"):
        (tmp_path / os.fsdecode(name)).mkdir()
        (tmp_path / os.fsdecode(name) / os.fsdecode(b"\xe9.png")).write_bytes(encode(photograph(20, 20)))
        (tmp_path / os.fsdecode(name) / os.fsdecode(b"\xe9.txt")).write_bytes(b"text")
    assert main(["create", "names", str(tmp_path)]) == 0
    assert "cat/\\xe9.txt: not an image" in capsys.readouterr().err
    (tmp_path / "cat").rename(tmp_path / os.fsdecode(b"M\xf6we"))
    assert main(["create", "names", str(tmp_path)]) == 2
    assert "M\\xf6we has a name that is not UTF-8" in capsys.readouterr().err
