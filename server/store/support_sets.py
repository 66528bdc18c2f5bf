"""Reads a version's support set, within a transaction. Each statement names its tenant."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, and_, select

from server.errors import BackboneUnavailable, ExampleNotFound, ImageNotKept
from server.ids import original
from server.store.label_sets import LABELS_OF, label_of
from server.store.object_rows import read_objects
from server.store.records import ExampleInfo, ImageObject, NewExample, TaskKey
from server.store.statements import belongs_to, find_version, read_task, support_ids
from server.store.support_records import PartlyEmbedded, Support
from server.store.tables import embeddings, examples, file_names, label_sets, versions

_EMBEDDING_OF = and_(
    embeddings.c.tenant == examples.c.tenant, embeddings.c.task == examples.c.task, embeddings.c.example == examples.c.id
)
_FILE_NAME_OF = and_(
    file_names.c.tenant == examples.c.tenant, file_names.c.task == examples.c.task, file_names.c.example == examples.c.id
)


def read_support(connection: Connection, key: TaskKey, number: int) -> Support:
    """Returns a version's support set with the embeddings by its backbone.

    Raises VersionNotFound, or BackboneUnavailable if an example has no such embedding.
    """
    row = find_version(connection, key, number, versions.c.examples, versions.c.backbone_sha256)
    found = _embedded(connection, key, row.examples, row.backbone_sha256)
    if found.lacking:
        raise BackboneUnavailable(
            f"{len(found.lacking)} examples of version {number} have no embedding by its backbone "
            f"(file {row.backbone_sha256[:12]}…); make another version active"
        )
    return found.support(found.embeddings, row.backbone_sha256)


def read_embedded(connection: Connection, key: TaskKey, number: int, backbone_sha256: str) -> PartlyEmbedded:
    """Returns a version's support set with the embeddings that it has by this backbone. Raises VersionNotFound."""
    return _embedded(connection, key, support_ids(connection, key, number), backbone_sha256)


def read_examples(
    connection: Connection, key: TaskKey, number: int, after: str, limit: int, negatives: bool | None
) -> list[ExampleInfo]:
    """Returns the `limit` examples of a version that follow the one with the id `after`, in the order of their addition.

    Args:
        negatives: whether those without a class are wanted, or the others; None for all.
    """
    columns = (examples.c[name] for name in ("id", "label", "media_type", "size", "sha256", "created_at"))
    support = support_ids(connection, key, number)
    if negatives is not None:
        without = _without_class(connection, key)
        support = [example for example in support if (example in without) is negatives]
    there = [original(example) for example in support]
    if original(after) in there:  # It may have been relabelled meanwhile.
        first = there.index(original(after)) + 1
    else:  # It has been removed. Ids ascend while the clock is not set back.
        first = next((i for i, example in enumerate(support) if example > after), len(support))
    ids = support[first : first + limit]
    query = (
        select(*columns, file_names.c.name, label_sets.c.labels)
        .join_from(examples, file_names, _FILE_NAME_OF, isouter=True)
        .join(label_sets, LABELS_OF, isouter=True)
    )
    rows = {row.id: row for row in _rows_of(connection, query, key, sorted(ids))}
    return [
        ExampleInfo(
            row.id, label_of(row.label, row.labels), row.media_type, row.size, row.sha256, row.created_at, _text(row.name)
        )
        for row in (rows[id_] for id_ in ids)
    ]


def read_example(connection: Connection, key: TaskKey, number: int, example: str) -> NewExample:
    """Returns an example of a version with all that the database has of it. If it was relabelled, it is as the version has it.

    Raises VersionNotFound or ExampleNotFound.
    """
    version = find_version(connection, key, number, versions.c.examples, versions.c.backbone_sha256)
    known = select(examples.c.id).where(belongs_to(examples, key), examples.c.id == example)
    of_image = [id_ for id_ in version.examples if original(id_) == original(example)]
    if not of_image or connection.execute(known).one_or_none() is None:
        raise ExampleNotFound(example)
    columns = (examples.c[name] for name in ("id", "label", "image", "size", "media_type", "sha256"))
    query = (
        select(*columns, embeddings.c.embedding, file_names.c.name, label_sets.c.labels)
        .join_from(examples, embeddings, _EMBEDDING_OF)
        .join(file_names, _FILE_NAME_OF, isouter=True)
        .join(label_sets, LABELS_OF, isouter=True)
        .where(embeddings.c.backbone_sha256 == version.backbone_sha256)
    )
    row = _rows_of(connection, query, key, of_image)[0]
    vector = np.frombuffer(row.embedding, "<f4").astype(np.float32, copy=False)
    return NewExample(
        row.id, label_of(row.label, row.labels), row.image, row.size, row.media_type, row.sha256, vector, _text(row.name)
    )


def read_images(connection: Connection, key: TaskKey, ids: Sequence[str]) -> list[tuple[str, bytes | ImageObject]]:
    """Returns the images of these examples, or where they lie, in the order of their ids.

    Raises TaskNotFound, ExampleNotFound or ImageNotKept if one is not there.
    """
    found = {row.id: row.image for row in _rows_of(connection, select(examples.c.id, examples.c.image), key, sorted(ids))}
    if missing := set(ids) - found.keys():
        read_task(connection, key)
        raise ExampleNotFound(min(missing))
    found |= read_objects(connection, key, [id_ for id_, image in found.items() if image is None])
    if any(image is None for image in found.values()):
        raise ImageNotKept
    return list(found.items())


def _embedded(connection: Connection, key: TaskKey, ids: Sequence[str], backbone_sha256: str) -> PartlyEmbedded:
    """Returns these examples with the embeddings that they have by this backbone."""
    columns = (examples.c.id, examples.c.label, examples.c.sha256, embeddings.c.embedding, label_sets.c.labels)
    query = (
        select(*columns)
        .join_from(examples, embeddings, and_(_EMBEDDING_OF, embeddings.c.backbone_sha256 == backbone_sha256), isouter=True)
        .join(label_sets, LABELS_OF, isouter=True)
    )
    rows = {row.id: row for row in connection.execute(query.where(belongs_to(examples, key)))}
    # Not joined: for a whole task, one walk through the names is quicker than a look-up for each.
    of_task = select(file_names.c.example, file_names.c.name).where(belongs_to(file_names, key))
    names = {row.example: _text(row.name) for row in connection.execute(of_task)}
    vectors = {id_: np.frombuffer(rows[id_].embedding, "<f4") for id_ in ids if rows[id_].embedding is not None}
    return PartlyEmbedded(
        tuple(ids),
        tuple(label_of(rows[id_].label, rows[id_].labels) for id_ in ids),
        tuple(rows[id_].sha256 is not None for id_ in ids),
        tuple(names.get(id_) for id_ in ids),
        {id_: vector.astype(np.float32, copy=False) for id_, vector in vectors.items()},
    )


def _without_class(connection: Connection, key: TaskKey) -> set[str]:
    """Returns the ids of the examples of a task that are of none of its classes."""
    query = select(examples.c.id, examples.c.label, label_sets.c.labels).join_from(examples, label_sets, LABELS_OF, isouter=True)
    rows = connection.execute(query.where(belongs_to(examples, key), examples.c.label.is_(None)))
    return {row.id for row in rows if not label_of(row.label, row.labels)}


def _rows_of(connection: Connection, query: Select[Any], key: TaskKey, ids: Sequence[str]) -> list[Any]:
    """Returns the rows of these examples, whose ids ascend.

    It uses a range and a filter instead of an IN, since databases limit the number of an IN's parameters.
    """
    if not ids:
        return []
    wanted = set(ids)
    in_range = query.where(belongs_to(examples, key), examples.c.id.between(ids[0], ids[-1]))
    return [row for row in connection.execute(in_range.order_by(examples.c.id)) if row.id in wanted]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
