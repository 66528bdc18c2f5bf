"""What tests of the store have in common: small support sets, and heads that nobody had to fit."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.heads.head import BackboneRef, Head
from models.labels import Label
from server.ids import new_id
from server.store.label_sets import counted
from server.store.records import NewExample, Task, TaskKey
from server.store.store import Store
from tests.helpers.databases import begin_empty, database_url
from tests.helpers.heads import options

DIM = 4
BACKBONE = BackboneRef("tiny@1", "ab" * 32)

_random = np.random.default_rng(0)


def open_empty(folder: Path) -> Store:
    """A store without tasks."""
    begin_empty(folder)
    return Store.open(database_url(folder))


def new_examples(labels: Sequence[Label | None], image_bytes: int = 50) -> list[NewExample]:
    """One example per label, no two alike. The label None is that of a negative."""
    return [_new_example(label, _random.bytes(image_bytes)) for label in labels]


def _new_example(label: Label | None, image: bytes) -> NewExample:
    embedding = _random.standard_normal(DIM, np.float32)
    return NewExample(new_id("example"), label, image, len(image), "image/png", hashlib.sha256(image).hexdigest(), embedding)


def head_of(labels: Sequence[Label | None], backbone: BackboneRef = BACKBONE) -> Head:
    """A head whose classes are these labels, in alphabetical order. None is no class."""
    classes = tuple(sorted({label for label in counted(labels) if label is not None}))
    weight = _random.standard_normal((len(classes), DIM), np.float32)
    return Head(classes, weight, np.zeros(len(classes), np.float32), options(), backbone)


def create(store: Store, tenant: str = "default", labels: Sequence[str] = ("cat", "dog"), image_bytes: int = 50) -> Task:
    """A task of one example per label."""
    return store.tasks.create(TaskKey(tenant, new_id("task")), "pets", new_examples(labels, image_bytes), head_of(labels))


def add(store: Store, task: Task, label: str, parent: int | None = None) -> Task:
    """The task with one more example, as a version made from `parent` or from the version that `task` shows."""
    labels = [*(entry.label for entry in task.version.classes), label]
    number = task.version.number if parent is None else parent
    return store.tasks.add_version(task.key, number, "added", new_examples([label]), [], head_of(labels))
