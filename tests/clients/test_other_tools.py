"""Readers of other tools' files, on anything at all: they answer, or refuse by one error."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.images.other_tools import Annotated, UnknownFormat, custom_vision, label_studio, one_hot

TEXTS = st.text(max_size=12)
WORDS = st.text("abc ", min_size=1, max_size=6)
KEYS = (
    st.sampled_from(["id", "data", "image", "annotations", "result", "type", "value", "choices", "tags", "tagName", "images"])
    | TEXTS
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.just("choices"),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(KEYS, inside, max_size=5),
    max_leaves=30,
)


@given(document=ANYTHING)
@settings(deadline=None)
def test_any_json_is_read_or_none_of_it(document: Any) -> None:
    for read in (label_studio, custom_vision):
        for entry in read(json.dumps(document)):
            assert entry.names
            assert all(isinstance(each, str) for each in (*entry.names, *entry.labels))


@given(text=st.text(alphabet=st.sampled_from('filename,01 a\n"\r[{]}')) | st.text())
@settings(deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (label_studio, custom_vision, one_hot):
        with suppress(UnknownFormat):
            read(text)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/3/0a1b2c3d-cat.jpg", "cat.jpg"),
        ("/data/local-files/?d=folder%2Fcat.jpg", "folder/cat.jpg"),
        ("s3://bucket/a%20folder/cat.jpg", "a folder/cat.jpg"),
        ("https://example.com/cat.jpg?size=1", "cat.jpg"),
        ("cat.jpg", "cat.jpg"),
    ],
)
def test_addresses_lead_to_names(address: str, name: str) -> None:
    entry = {"data": {"image": address}, "annotations": [{"result": [{"type": "choices", "value": {"choices": ["a", "b"]}}]}]}
    (found,) = label_studio(json.dumps([entry]))
    assert name in found.names
    assert found.labels == ("a", "b")


@given(before=st.dictionaries(WORDS, WORDS, max_size=3), after=st.dictionaries(WORDS, WORDS, max_size=3), key=WORDS)
@settings(deadline=None)
def test_an_image_is_found_among_other_fields(before: dict[str, str], after: dict[str, str], key: str) -> None:
    fields = [*before.items(), (key, "/data/upload/3/0a1b2c3d-cat.jpg"), *after.items()]
    data = dict(field for at, field in enumerate(fields) if at == len(before) or field[0] != key)
    (found,) = label_studio(json.dumps([{"data": data, "annotations": []}]))
    assert found.names == ("data/upload/3/0a1b2c3d-cat.jpg", "0a1b2c3d-cat.jpg", "cat.jpg")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"thumbnail": "small.jpg", "photo": "large.jpg"}, "large.jpg"),
        ({"caption": "a cat", "photo": "/data/upload/1/0a1b2c3d-cat"}, "cat"),
        ({"caption": "a cat", "photo": "scan 7"}, "scan 7"),
        ({"photo": "the caption", "image": "cat.jpg"}, "cat.jpg"),
    ],
)
def test_what_the_choices_are_about_is_the_image(data: dict[str, str], name: str) -> None:
    chosen = {"type": "choices", "to_name": "photo", "value": {"choices": ["a"]}}
    box = {"type": "rectanglelabels", "to_name": "thumbnail", "value": {"x": 1}}
    (found,) = label_studio(json.dumps([{"data": data, "annotations": [{"result": [box, chosen]}]}]))
    assert found.names[-1] == name


def test_no_field_is_preferred_where_nothing_tells() -> None:
    (found,) = label_studio(json.dumps([{"data": {"a": "first", "b": 7, "c": "second"}, "annotations": []}]))
    assert found.names == ("first", "second")


def test_a_table_is_read_row_by_row() -> None:
    assert one_hot("filename, cat, dog\r\n1.jpg, 1, 0\r\n2.jpg, 1, 1\r\n3.jpg, 0, 0\r\n") == [
        Annotated(("1.jpg",), ("cat",)),
        Annotated(("2.jpg",), ("cat", "dog")),
        Annotated(("3.jpg",), ()),
    ]
