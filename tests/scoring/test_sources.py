"""Where images come from: what is listed, what is read, and what is told of a file that cannot be read."""

import os
import zipfile
from pathlib import Path

import obstore
import pytest
from obstore.store import from_url

from models.images.preprocess import ImageError
from scoring.sources import Source, SourceError, open_source
from tests.helpers.object_stores import S3Server

_LIMIT = 1000


def contents(source: Source) -> dict[str, bytes]:
    return {source.path(name): source.read(name, _LIMIT) for name in source.names()}


def refused(source: Source, name: str) -> str:
    with pytest.raises(ImageError) as error:
        source.read(name, _LIMIT)
    return error.value.code


def test_a_folder_gives_the_images_in_it_and_below(tmp_path: Path) -> None:
    for name in ("a.jpg", "b/c.PNG", "b/ä\n.webp", "b/.hidden.jpg", ".b/d.jpg", "readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "b/back").symlink_to(tmp_path)
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "missing")
    source = open_source(str(tmp_path))
    assert refused(source, "nowhere.jpg") == "file_unreadable"
    (tmp_path / "nowhere.jpg").unlink()
    told = {"a.jpg": b"a.jpg", "b/c.PNG": b"b/c.PNG", "b/ä\n.webp": "b/ä\n.webp".encode(), "link.jpg": b"a.jpg"}
    assert contents(source) == {str(tmp_path / name): held for name, held in told.items()}


def test_what_is_no_readable_file_is_told_of_that_one(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "large.jpg").write_bytes(bytes(_LIMIT + 1))
    source = open_source(str(tmp_path))
    assert [refused(source, name) for name in ("gone.jpg", "folder.jpg", "pipe.jpg", "large.jpg", "a\0.jpg", "x" * 300)] == [
        *["file_unreadable"] * 3,
        "image_too_large",
        *["file_unreadable"] * 2,
    ]


def test_a_failing_disk_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    source = open_source(str(tmp_path))

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match="Input/output"):
        source.read("a.jpg", _LIMIT)


def test_a_zip_gives_its_members_also_those_of_one_name(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("in/a.jpg", b"first")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("in/a.jpg", b"second")
        for name in ("__MACOSX/in/a.jpg", ".hidden/a.jpg", "readme.txt"):
            archive.writestr(name, b"")
        archive.writestr("large.jpg", bytes(_LIMIT + 1), zipfile.ZIP_DEFLATED)
    source = open_source(str(file))
    names = list(source.names())
    assert [source.read(name, _LIMIT) for name in names[:2]] == [b"first", b"second"]
    assert [source.path(name) for name in names] == [f"{file}/in/a.jpg", f"{file}/in/a.jpg", f"{file}/large.jpg"]
    assert refused(source, names[2]) == "image_too_large"


def test_a_damaged_member_is_told_of_that_one(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jpg", b"the first member")
        archive.writestr("b.jpg", b"the second")
    file.write_bytes(file.read_bytes().replace(b"the first", b"the worst"))
    source = open_source(str(file))
    one, other = source.names()
    assert refused(source, one) == "file_unreadable"
    assert source.read(other, _LIMIT) == b"the second"


def test_a_list_names_files_from_where_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b.jpg").write_bytes(b"a")
    (tmp_path / "list.txt").write_bytes(b"a b.jpg\r\n\n" + bytes(tmp_path / "a b.jpg") + b"\ngone.jpg\na b.jpg")
    source = open_source("list.txt")
    names = list(source.names())
    assert names == ["a b.jpg", str(tmp_path / "a b.jpg"), "gone.jpg", "a b.jpg"]
    monkeypatch.chdir("/")
    assert source.read(names[0], _LIMIT) == b"a"
    assert refused(source, names[2]) == "file_unreadable"


def test_objects_are_listed_and_read_by_url_and_by_list(s3: S3Server, tmp_path: Path) -> None:
    store = from_url(s3.url)
    for name in ("a.jpg", "b/c d.png", "readme.txt", "large.jpg"):
        obstore.put(store, name, bytes(_LIMIT + 1) if name == "large.jpg" else name.encode())
    source = open_source(f"{s3.url}/")
    assert sorted(source.names()) == ["a.jpg", "b/c d.png", "large.jpg"]
    assert refused(source, "large.jpg") == "image_too_large"
    assert refused(source, "gone.jpg") == "file_unreadable"
    (tmp_path / "list.txt").write_text(f"{s3.url}/b/c d.png\n{s3.url}/a.jpg\n")
    assert contents(open_source(str(tmp_path / "list.txt"))) == {f"{s3.url}/b/c d.png": b"b/c d.png", f"{s3.url}/a.jpg": b"a.jpg"}


def test_a_store_that_cannot_be_had_ends_the_run(s3: S3Server) -> None:
    with pytest.raises(SourceError, match="s3://none/some/path cannot be listed"):
        list(open_source(s3.url.replace("images", "none")).names())


def test_a_source_that_changed_is_another(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("a.jpg\n")
    before = open_source(str(file)).described
    file.write_text("a.jpg\nb.jpg\n")
    assert open_source(str(file)).described != before


def test_what_is_no_list_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "image.jpg").write_bytes(b"\xff\xd8\xff\0\0")
    with pytest.raises(SourceError, match="no list of paths"):
        list(open_source(str(tmp_path / "image.jpg")).names())
    with pytest.raises(FileNotFoundError):
        open_source(str(tmp_path / "missing"))
