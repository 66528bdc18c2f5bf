"""What a zip's folders are called: the right label or a refusal that names the folder, in the server and the trainer alike."""

import io
import struct
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.zip_names import member_path
from server.errors import InvalidArchive, LimitExceeded
from server.http.bodies.archive import read_archive
from server.settings import Settings
from tests.helpers.images import encode, noise
from tests.helpers.problems import assert_problem
from tests.helpers.uploads import zip_of
from tests.helpers.zips import unicode_path, zip_of_bytes
from training.data.dataset import DataError
from training.data.sources import find_classes, list_sources

PHOTO, OTHER = encode(noise(8, 8)), encode(noise(8, 8, seed=1))
SETTINGS = Settings()

READ = {
    "macOS: UTF-8 without the flag, decomposed": ("U\u0308bung/1.png".encode(), b"", False, "Übung"),
    "an emoji without the flag": ("🐶/1.png".encode(), b"", False, "🐶"),
    "UTF-8 with the flag": ("Übung/1.png".encode(), b"", True, "Übung"),
    "Kanji with the flag": ("犬/1.png".encode(), b"", True, "犬"),
    "DOS": ("Übung/1.png".encode("cp437"), b"", False, "Übung"),
    "DOS, more accents": ("Füße/1.png".encode("cp437"), b"", False, "Füße"),
    "DOS, one letter": ("é/1.png".encode("cp437"), b"", False, "é"),
    "Windows, backslashes": ("Übung\\1.png".encode("cp437"), b"", False, "Übung"),
    "Info-ZIP's field": (b"?bung/1.png", unicode_path("Übung/1.png", b"?bung/1.png"), False, "Übung"),
    "Info-ZIP's field after another": (b"?/1.png", b"UT\x01\0\0" + unicode_path("犬/1.png", b"?/1.png"), False, "犬"),
    "Info-ZIP's field of an older name": (b"new/1.png", unicode_path("old/1.png", b"old/1.png"), False, "new"),
    "a file's name in whatever encoding": (b"cat/\x83\x65\xff.png", b"", False, "cat"),
}
REFUSED = {
    "Shift-JIS": ("りんご", "cp932"),
    "Shift-JIS, letters alone": ("テスト", "cp932"),
    "Shift-JIS, one character": ("猫", "cp932"),
    "GBK": ("苹果", "gbk"),
    "Big5": ("狗", "big5"),
    "EUC-KR": ("사과", "cp949"),
    "Cyrillic, DOS": ("яблоко", "cp866"),
    "Cyrillic, Windows": ("Яблоко", "cp1251"),
    "Greek": ("μήλο", "cp1253"),
    "Windows Western": ("São", "cp850"),
}


def labels_of(data: bytes) -> list[str]:
    return sorted({str(example.label) for example in read_archive(io.BytesIO(data), SETTINGS).images})


class TestNames:
    @pytest.mark.parametrize("name", READ)
    def test_that_can_be_read(self, name: str, tmp_path: Path) -> None:
        raw, extra, flagged, label = READ[name]
        data = zip_of_bytes([(raw, PHOTO), (b"Apfel/1.png", OTHER)], [extra, b""], flagged)
        assert labels_of(data) == sorted([label, "Apfel"])
        (tmp_path / "a.zip").write_bytes(data)
        assert find_classes([tmp_path / "a.zip"]) == tuple(sorted([label, "Apfel"]))
        assert {source.read() for source in list_sources([tmp_path / "a.zip"])} == {PHOTO, OTHER}

    @pytest.mark.parametrize("name", REFUSED)
    def test_that_cannot(self, name: str, tmp_path: Path) -> None:
        word, encoding = REFUSED[name]
        data = zip_of_bytes([(word.encode(encoding) + b"/1.png", PHOTO), (b"cat/1.png", OTHER)])
        written = word.encode(encoding).decode("ascii", errors="backslashreplace")
        with pytest.raises(InvalidArchive) as refused:
            labels_of(data)
        assert repr(f"{written}/1.png") in refused.value.detail
        (tmp_path / "a.zip").write_bytes(data)
        with pytest.raises(DataError) as untrained:
            find_classes([tmp_path / "a.zip"])
        assert repr(f"{written}/1.png") in str(untrained.value)

    def test_that_are_called_utf8_and_are_not(self, tmp_path: Path) -> None:
        data = zip_of_bytes([(b"\xff\xfe/1.png", PHOTO), (b"cat/1.png", OTHER)], flagged=True)
        with pytest.raises(InvalidArchive, match="fe/1"):
            labels_of(data)
        (tmp_path / "a.zip").write_bytes(data)
        with pytest.raises(DataError, match="fe/1"):
            find_classes([tmp_path / "a.zip"])

    @given(st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="/\\.")).filter(bool), st.booleans())
    def test_in_utf8_are_what_python_wrote(self, name: str, flagged: bool) -> None:
        raw = f"{name}/1.png".encode()
        buffer = io.BytesIO(zip_of_bytes([(raw, b"")], flagged=flagged))
        assert str(member_path(zipfile.ZipFile(buffer).infolist()[0])) == unicodedata.normalize("NFC", f"{name}/1.png")

    def test_in_both_forms_of_unicode_are_one_class_of_every_image(self, tmp_path: Path) -> None:
        both = [("\u00e9/1.png", PHOTO), ("e\u0301/1.png", OTHER), ("a/1.png", PHOTO)]
        examples = read_archive(io.BytesIO(zip_of(both)), SETTINGS).images
        assert sorted(str(example.label) for example in examples) == ["a", "é", "é"]
        (tmp_path / "a.zip").write_bytes(zip_of(both))
        found = [*list_sources([tmp_path / "a.zip"])]
        assert sorted((source.class_name, source.read() == PHOTO) for source in found) == [("a", True), ("é", False), ("é", True)]
        assert len({source.key for source in found}) == 3


class TestEmptyFolders:
    @pytest.mark.parametrize("around", ["", "photos/"])
    @pytest.mark.parametrize("left", [["bird/"], ["bird/.DS_Store"], ["bird/", "bird/Thumbs.db"], ["bird\\"]])
    def test_are_refused_by_name(self, api: httpx.Client, around: str, left: list[str]) -> None:
        members = [("cat/1.png", PHOTO), ("dog/1.png", OTHER), *((name, b"") for name in left)]
        data = zip_of([(around + name, content) for name, content in members])
        response = api.post("/v1/tasks", files={"archive": data})
        assert_problem(response, 422, "invalid_archive")
        assert f"the folder '{around}bird' holds no images" in response.json()["detail"]

    @pytest.mark.parametrize("folder", ["__MACOSX/bird/", ".git/", "cat/", "cat/older/"])
    def test_that_are_no_class_do_not_matter(self, folder: str) -> None:
        assert labels_of(zip_of([("cat/1.png", PHOTO), ("dog/1.png", OTHER), (folder, b"")])) == ["cat", "dog"]

    @pytest.mark.parametrize("around", ["", "photos/"])
    def test_count_as_classes_of_a_dataset(self, tmp_path: Path, around: str) -> None:
        members = [("cat/1.png", PHOTO), ("dog/1.png", OTHER), ("bird/", b""), ("__MACOSX/", b""), ("cat/older/", b"")]
        (tmp_path / "a.zip").write_bytes(
            zip_of([(around + name, content) for name, content in [("", b""), *members] if around + name])
        )
        assert find_classes([tmp_path / "a.zip"]) == ("bird", "cat", "dog")


class TestZip64:
    @pytest.fixture
    @staticmethod
    def data(monkeypatch: pytest.MonkeyPatch) -> bytes:
        """Every field in its wide form, as `zip -fz` and programs that write to a pipe have it."""
        limits: dict[str, Any] = {"ZIP_FILECOUNT_LIMIT": 0, "ZIP64_LIMIT": 0}
        for name, limit in limits.items():
            monkeypatch.setattr(zipfile, name, limit)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in (("cat/1.png", PHOTO), ("dog/1.png", OTHER)):
                with archive.open(name, "w", force_zip64=True) as member:
                    member.write(content)
        assert b"PK\x06\x06" in buffer.getvalue()
        return buffer.getvalue()

    def test_is_read(self, data: bytes) -> None:
        assert {(each.label, each.image) for each in read_archive(io.BytesIO(data), SETTINGS).images} == {
            ("cat", PHOTO),
            ("dog", OTHER),
        }

    def test_that_lies_is_refused(self, data: bytes) -> None:
        lying = bytearray(data)
        struct.pack_into("<Q", lying, lying.rfind(b"PK\x06\x06") + 40, 2**40)
        with pytest.raises(LimitExceeded):
            labels_of(bytes(lying))

    @pytest.mark.parametrize("offset", [0, 2**63, 17])
    def test_with_a_record_elsewhere_is_named(self, data: bytes, offset: int) -> None:
        elsewhere = bytearray(data)
        struct.pack_into("<Q", elsewhere, elsewhere.rfind(b"PK\x06\x07") + 8, offset)
        with pytest.raises(InvalidArchive, match="zip64"):
            labels_of(bytes(elsewhere))
