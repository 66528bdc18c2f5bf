"""Readers of other tools' files, on anything at all: they answer, or refuse by one error."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.images.other_tools import Annotated, UnknownFormat, custom_vision, label_studio, one_hot

TEXTS = st.text(max_size=12)
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


def test_a_table_is_read_row_by_row() -> None:
    assert one_hot("filename, cat, dog\r\n1.jpg, 1, 0\r\n2.jpg, 1, 1\r\n3.jpg, 0, 0\r\n") == [
        Annotated(("1.jpg",), ("cat",)),
        Annotated(("2.jpg",), ("cat", "dog")),
        Annotated(("3.jpg",), ()),
    ]
