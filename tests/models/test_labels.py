"""What makes two labels one, and that server, clients and trainer are of one mind about it."""

import unicodedata
from pathlib import Path

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headstart import Client, labelled_folder
from headstart.labels import clean_label as clean_in_client
from models.labels import MAX_LABEL, clean_label
from server.journeys.support_set import spelt_as_before
from tests.helpers.images import encode, noise
from tests.helpers.samples import Labelled
from tests.helpers.uploads import as_json, create, multipart
from training.data.dataset import DataError
from training.data.sources import find_classes

# Every character that matters at an edge, beside others.
EDGES = " \t\n\x1c\x85\xa0\u2002\u2028\u3000\ufeff\u200b\u2060\u00ad"
TEXTS = st.text(st.sampled_from(EDGES + "ae\u0301\u0308\u00e9\u1f82\u200d\U0001f600\x07")) | st.text()

ONE = ["\u00e9", "e\u0301", "\ufeff\u00e9", "\u00e9\u200b", "\u2060\u00e9\u00ad", " \ufeff \u00e9\u200b\t", "\xa0e\u0301\u2003"]
"""Labels that look the same."""


class TestOfOneText:
    @pytest.mark.parametrize("raw", ONE, ids=ascii)
    def test_what_cannot_be_seen_makes_no_difference(self, raw: str) -> None:
        assert clean_label(raw) == "\u00e9"

    @pytest.mark.parametrize(
        "raw", ["Cat", "CAT", "a\u200bb", "a\u00adb", "\u200dx", "\U0001f469\u200d\U0001f680", "\ufb01", "\uff21"], ids=ascii
    )
    def test_everything_else_is_kept(self, raw: str) -> None:
        assert clean_label(raw) == raw

    def test_what_is_stripped_is_all_that_python_strips_and_four_more(self) -> None:
        stripped = {character for character in map(chr, range(0x10000)) if not _is_kept(f"{character}a{character}")}
        assert stripped == {c for c in map(chr, range(0x10000)) if c.isspace()} | set("\ufeff\u200b\u2060\u00ad")

    @given(TEXTS)
    @example("a" * (MAX_LABEL + 1))
    @example("\u1f82" * MAX_LABEL)
    @example(unicodedata.normalize("NFD", "\u1f82" * MAX_LABEL))
    @example(" " * 10_000 + "a")
    def test_cleaning_is_done_once_and_alike_everywhere(self, raw: str) -> None:
        try:
            label = clean_label(raw)
        except ValueError:
            with pytest.raises(ValueError, match=r"^(is empty|has \d+ characters|holds control)"):
                clean_label(clean_in_client(raw))
            return
        assert clean_label(label) == label == unicodedata.normalize("NFC", label)
        assert 1 <= len(label) <= MAX_LABEL
        assert clean_in_client(raw) == label

    @pytest.mark.parametrize(
        "raw", ["", " ", "\ufeff", "\u200b \u2060", "a\nb", "a\u2028b", "\ud800", "a\x00b", "x" * 129], ids=ascii
    )
    def test_what_is_no_label(self, raw: str) -> None:
        with pytest.raises(ValueError, match=r"^(is empty|has \d+ characters|holds control)"):
            clean_label(raw)


class TestOfAClass:
    def test_in_requests(self, api: httpx.Client, support: Labelled) -> None:
        examples = [(label, image) for label, (_, image) in zip([*ONE, "a"], support, strict=False)]
        for body in (multipart(examples), as_json(examples)):
            response = api.post("/v1/tasks", **body)
            classes = [(entry["label"], entry["examples"]) for entry in response.json()["classes"]]
            assert sorted(classes) == [("a", 1), ("\u00e9", len(ONE))]
            added = api.post(f"/v1/tasks/{response.json()['id']}/examples", **multipart([("e\u0301", support[9][1])]))
            assert len(added.json()["classes"]) == 2

    def test_of_an_earlier_release_stays_one(self) -> None:
        """It kept labels as they were sent: a task may hold a decomposed one, and a release of now is asked for more of it."""
        before = ["cat", "e\u0301", "\u200b"]
        assert spelt_as_before(["\u00e9", "cat", "dog", None], before) == ["e\u0301", "cat", "dog", None]
        assert spelt_as_before(["\u00e9"], [*before, "\u00e9"]) == ["\u00e9"]
        assert spelt_as_before([("dog", "\u00e9"), ()], before) == [("dog", "e\u0301"), ()]

    def test_in_names(self, api: httpx.Client, support: Labelled) -> None:
        task = create(api, support, name="\ufeffe\u0301 ")
        assert task["name"] == "\u00e9"
        assert api.patch(f"/v1/tasks/{task['id']}", json={"name": "u\u0308\u200b"}).json()["name"] == "\u00fc"

    def test_in_the_client(self, client: Client, support: Labelled, tmp_path: Path) -> None:
        by_label = {label: [image] for label, (_, image) in zip(ONE, support, strict=False)} | {"a": [support[9][1]]}
        task = client.create_task("labels", by_label)
        assert sorted((each.label, each.examples) for each in task.classes) == [("a", 1), ("\u00e9", len(ONE))]
        folders = self.folders(tmp_path)
        assert {label for label, _ in labelled_folder(folders)} == {"a", "\u00e9"}

    def test_in_the_trainer(self, tmp_path: Path) -> None:
        assert find_classes([self.folders(tmp_path)]) == ("a", "\u00e9")

    @pytest.mark.parametrize("name", ["\u200b", "a\nb", "x" * 129], ids=ascii)
    def test_that_has_no_name_in_the_trainer(self, tmp_path: Path, name: str) -> None:
        self.image(tmp_path / name)
        with pytest.raises(DataError, match="names a class"):
            find_classes([tmp_path])

    def folders(self, root: Path) -> Path:
        for name in ("\u00e9", "e\u0301", "\u00e9\u200b", "a"):
            self.image(root / name)
        return root

    @staticmethod
    def image(folder: Path) -> None:
        folder.mkdir()
        (folder / "1.png").write_bytes(encode(noise(8, 8)))


def _is_kept(raw: str) -> bool:
    try:
        return clean_label(raw) != "a"
    except ValueError:  # a control character
        return True
