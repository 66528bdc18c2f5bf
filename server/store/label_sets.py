"""The labels of examples of tasks with several labels an image, within a transaction. Each statement names its tenant."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, and_, insert

from models.labels import Label, LabelSet
from server.store.records import NewExample, TaskKey
from server.store.tables import examples, label_sets

LABELS_OF = and_(
    label_sets.c.tenant == examples.c.tenant, label_sets.c.task == examples.c.task, label_sets.c.example == examples.c.id
)
"""The condition that a row of `label_sets` is of an example, for an outer join. `label_of` reads the two."""

_decoder = msgspec.json.Decoder(LabelSet)


def label_of(label: str | None, labels: bytes | None) -> Label | None:
    """Returns the label of an example, from its `label` and the `labels` of its row in `label_sets`."""
    return label if labels is None else _decoder.decode(labels)


def insert_label_sets(connection: Connection, key: TaskKey, added: Sequence[NewExample]) -> None:
    """Stores the labels of those examples that may have several."""
    rows = [
        {"tenant": key.tenant, "task": key.id, "example": example.id, "labels": msgspec.json.encode(example.label)}
        for example in added
        if isinstance(example.label, tuple)
    ]
    if rows:
        connection.execute(insert(label_sets), rows)


def counted(labels: Iterable[Label | None]) -> Iterable[str | None]:
    """Yields the classes under which a version counts examples: each label of each, and None where one has none."""
    for label in labels:
        if isinstance(label, tuple):
            yield from label or (None,)
        else:
            yield label
