"""A stand-in for the part of FiftyOne that `headstart_fiftyone` uses, for quick tests. A slow test has FiftyOne itself."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


class Classification:
    """A label with any attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__ |= attributes


class Classifications(Classification):
    """Several labels, `classifications`."""


class Field:
    """A field of a dataset; its `document_type` is that of labels."""

    def __init__(self, document_type: type | None) -> None:
        self.document_type = document_type


class Samples:
    """A dataset of images, all of it in memory, with one field of labels.

    Args:
        rows: each sample's path and its labels.
        kind: of the labels.
    """

    media_type = "image"
    name = "photographs"

    def __init__(self, rows: list[tuple[Path, list[str]]], kind: type = Classification) -> None:
        self.ids = [f"{number:024x}" for number in range(len(rows))]
        self.paths = [str(path) for path, _ in rows]
        self.labels = [labels for _, labels in rows]
        self.fields: dict[str, Any] = {"ground_truth": Field(kind), "filepath": Field(None)}
        self.written: dict[str, dict[str, Any]] = {}
        self._dataset = self

    def get_field(self, name: str) -> Field | None:
        return self.fields.get(name)

    def add_sample_field(self, name: str, kind: object, **_options: object) -> None:
        self.fields[name] = kind

    def values(self, names: list[str]) -> list[list[Any]]:
        found: dict[str, list[Any]] = {
            "id": self.ids,
            "filepath": self.paths,
            "ground_truth.label": [labels[0] if labels else None for labels in self.labels],
            "ground_truth.classifications.label": [labels or None for labels in self.labels],
        }
        return [found[name] for name in names]

    def set_values(self, name: str, values: Any, key_field: str | None = None) -> None:
        assert name in self.fields
        assert key_field in {None, "id"}
        self.written.setdefault(name, {}).update(values if key_field else dict(zip(self.ids, values, strict=True)))


@contextmanager
def standing_in() -> Iterator[None]:
    """Has `import fiftyone` give the stand-in, and forgets what was imported with it."""
    fiftyone, core, models = (ModuleType(name) for name in ("fiftyone", "fiftyone.core", "fiftyone.core.models"))
    for each in (Classification, Classifications):
        setattr(fiftyone, each.__name__, each)
    for name in ("FloatField", "BooleanField", "ListField", "StringField", "EmbeddedDocumentField"):
        setattr(fiftyone, name, type(name, (), {}))
    for name in ("Model", "SamplesMixin"):
        setattr(models, name, type(name, (), {"__exit__": lambda *_: None}))
    fiftyone.core, core.models = core, models  # type: ignore[attr-defined]
    fiftyone.__spec__ = sys.__spec__
    with pytest.MonkeyPatch.context() as patch:
        for module in (fiftyone, core, models):
            patch.setitem(sys.modules, module.__name__, module)
        yield
        for name in [name for name in sys.modules if name.partition(".")[0] == "headstart_fiftyone"]:
            patch.delitem(sys.modules, name)
