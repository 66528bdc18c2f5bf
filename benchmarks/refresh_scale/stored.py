"""Stores with very many tasks, all alike: 25 small images of five classes."""

import hashlib
from collections.abc import Sequence

import numpy as np
from sqlalchemy import insert, select

from benchmarks.shared.setting import support_set
from models.bundle import Bundle
from models.engine import EngineKind, embed_all, open_engine
from models.heads.fitting import fit_head
from models.images.preprocess import load_image
from server.ids import new_id
from server.store.records import NewExample, TaskKey
from server.store.store import Store
from server.store.tables import tasks, versions

TENANT = "default"
_AT_ONCE = 500  # rows of a transaction: triggers make each count one row again and again


class Filler:
    """Makes tasks on a bundle in a store, without a server.

    Args:
        kind: the engine that the tasks' embeddings are of.
    """

    def __init__(self, bundle: Bundle, kind: EngineKind) -> None:
        engine = open_engine(bundle, kind)
        self._images = support_set()
        self._embeddings = embed_all(engine, np.stack([load_image(image, bundle.manifest.input) for _, image in self._images]))
        self._head = fit_head(
            self._embeddings, [label for label, _ in self._images], engine.space, bundle.manifest.head.options()
        )

    def add(self, store: Store, count: int) -> None:
        """Adds tasks that a server can work with."""
        for _ in range(count):
            store.tasks.create(TaskKey(TENANT, new_id("task")), "alike", self._examples(), self._head)

    def add_rows(self, store: Store, count: int) -> None:
        """Adds tasks that are in lists only: their examples are nowhere. The store must have a task."""
        database = store._database
        with database.read() as connection:
            task, version = (connection.execute(select(table).limit(1)).mappings().one() for table in (tasks, versions))
        for start in range(0, count, _AT_ONCE):
            ids = [new_id("task") for _ in range(min(_AT_ONCE, count - start))]
            with database.write(TENANT) as connection:
                connection.execute(insert(tasks), [{**task, "id": each} for each in ids])
                connection.execute(insert(versions), [{**version, "task": each} for each in ids])

    def _examples(self) -> Sequence[NewExample]:
        return [
            NewExample(new_id("example"), label, image, len(image), "image/png", hashlib.sha256(image).hexdigest(), embedding)
            for (label, image), embedding in zip(self._images, self._embeddings, strict=True)
        ]
