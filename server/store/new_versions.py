"""Makes a task's next version, within a transaction. Each statement names its tenant."""

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from models.heads.head import BackboneMismatch, Float32, Head
from server.ids import original
from server.store.label_sets import counted
from server.store.object_rows import objects_of, store_objects
from server.store.records import Accuracy, Change, NewExample, Task, TaskKey, VersionConflict
from server.store.statements import (
    embedded_by,
    insert_embeddings,
    insert_examples,
    insert_version,
    labels_of,
    last_number,
    lock_task,
    new_version,
    now_after,
    support_ids,
    update_task,
)


def find_parent(connection: Connection, key: TaskKey, number: int) -> Task:
    """Returns the task, which only this transaction may change. Raises VersionConflict if `number` is not the active version."""
    task = lock_task(connection, key)
    if task.version.number != number:
        raise VersionConflict
    return task


def add_changed(
    connection: Connection,
    before: Task,
    change: Change,
    added: Sequence[NewExample],
    removed: Sequence[str],
    head: Head,
    accuracy: Accuracy | None = None,
) -> Task:
    """Changes the active support set and returns the task after that. A relabelled example keeps its place.

    Raises:
        ExampleNotFound: `removed` names an example that the support set does not have.
        BackboneMismatch: `head` was fitted on another backbone than that of the support set's embeddings.
    """
    if before.version.backbone != head.backbone:
        raise BackboneMismatch(f"the support set's embeddings are of {before.version.backbone}, not of {head.backbone}")
    support = support_ids(connection, before.key, before.version.number)
    gone = labels_of(connection, before.key, removed, support)
    counts = _counts(before)
    counts.update(counted(example.label for example in added))
    counts.subtract(counted(gone.values()))
    copies = {original(example.id): example.id for example in added}
    replaced = (copies.pop(original(example), None) if example in gone else example for example in support)
    after = [*(example for example in replaced if example), *copies.values()]
    task = _add(connection, before, change, counts, after, head, accuracy)
    insert_examples(connection, task, added)
    store_objects(connection, task.key, objects_of(added))
    return task


def add_refreshed(
    connection: Connection, before: Task, embeddings: Mapping[str, Float32], head: Head, accuracy: Accuracy | None
) -> Task:
    """Moves the active support set to the backbone of `head` and returns the task after that.

    Raises ValueError if `embeddings` are not those of the support set's examples.
    """
    support = support_ids(connection, before.key, before.version.number)
    if embeddings.keys() != set(support):
        raise ValueError("the embeddings are not those of the support set")
    task = _add(connection, before, "refreshed", _counts(before), support, head, accuracy)
    there = embedded_by(connection, task.key, head.backbone.sha256)
    insert_embeddings(connection, task, {id_: embeddings[id_] for id_ in support if id_ not in there})
    return task


def _add(
    connection: Connection,
    before: Task,
    change: Change,
    counts: Counter[str | None],
    support: Sequence[str],
    head: Head,
    accuracy: Accuracy | None,
) -> Task:
    now = now_after(before.created_at)
    version = new_version(last_number(connection, before.key) + 1, change, counts, head, now, accuracy)
    task = Task(before.key, before.name, before.created_at, now, version, before.capture, before.labels)
    update_task(connection, task.key, active_version=version.number, last_version=version.number, updated_at=now)
    insert_version(connection, task, support, head)
    return task


def _counts(task: Task) -> Counter[str | None]:
    return Counter({entry.label: entry.examples for entry in task.version.classes} | {None: task.version.negatives})
