"""Statements on the captures of a task, within a transaction. Each statement names its tenant."""

import hashlib
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, func, insert, select, update

from models.arrays import on_host
from models.heads.head import Float32
from models.images.preprocess import media_type
from server.errors import CaptureNotFound
from server.store.capture_records import Answered, CaptureInfo, NewCapture
from server.store.object_rows import Owner, hand_over_objects, release_objects, store_objects
from server.store.records import CaptureSetting, ImageObject, TaskKey
from server.store.removal import first_within
from server.store.statements import MOST_VALUES, belongs_to
from server.store.tables import capture_images, captures, examples, part_of

_COUNT = struct.Struct("<I")  # of the numbers of an embedding

_answer = msgspec.json.Decoder(Answered)


def insert_captures(
    connection: Connection,
    key: TaskKey,
    taken: Sequence[NewCapture],
    keep_images: bool,
    placed: Mapping[Owner, ImageObject] | None = None,
) -> None:
    """Stores captures of a task, which exists, as its newest ones.

    Args:
        placed: where their images lie, if that is in the object store.
    """
    last = connection.execute(select(func.max(captures.c.ordinal)).where(belongs_to(captures, key))).scalar_one() or 0
    rows = [
        {
            "tenant": key.tenant,
            "task": key.id,
            "id": capture.id,
            "ordinal": ordinal,
            "version": capture.version,
            "backbone_sha256": capture.backbone_sha256,
            "created_at": capture.created_at,
            "media_type": media_type(capture.image),
            "size": len(capture.image),
            "sha256": hashlib.sha256(capture.image).hexdigest() if keep_images else None,
            "content": _packed(on_host(capture.embedding), capture.answered),
        }
        for ordinal, capture in enumerate(taken, last + 1)
    ]
    connection.execute(insert(captures), rows)
    if placed is not None:
        store_objects(connection, key, {each.id: placed[key, each.id] for each in taken})
    elif keep_images:
        images = [{"tenant": key.tenant, "task": key.id, "capture": each.id, "image": each.image} for each in taken]
        connection.execute(insert(capture_images), images)


def read_captures(connection: Connection, key: TaskKey, ids: Sequence[str]) -> list[CaptureInfo]:
    """Returns these captures, in this order. Raises CaptureNotFound if one is not there."""
    found = {info.id: info for info in _infos(connection, key, ids)}
    for id_ in ids:
        if id_ not in found:
            raise CaptureNotFound(id_)
    return [found[id_] for id_ in ids]


def embedding_in(dim: int) -> ColumnElement[bytes]:
    """Returns the bytes of the embedding (dim,) in the column `content`."""
    return part_of(captures.c.content, _COUNT.size, 4 * dim)


def count_captures(connection: Connection, key: TaskKey) -> int:
    """Returns how many captures a task has."""
    of_task = select(func.count()).select_from(captures).where(belongs_to(captures, key))
    return int(connection.execute(of_task).scalar_one())


def surplus(connection: Connection, key: TaskKey, setting: CaptureSetting, now: datetime) -> set[str]:
    """Returns the ids of a task's captures that are too old, and of the oldest of those that are too many."""
    ids = select(captures.c.id).where(belongs_to(captures, key))
    count = count_captures(connection, key)
    gone = set(connection.scalars(ids.where(captures.c.created_at <= now - timedelta(days=setting.days))))
    if count > setting.limit:
        gone.update(connection.scalars(ids.order_by(captures.c.ordinal).limit(count - setting.limit)))
    return gone


def delete_captures(connection: Connection, key: TaskKey, ids: Collection[str]) -> int:
    """Removes these captures with their images. Returns how many there were."""
    if not ids:
        return 0
    one = delete(captures).where(belongs_to(captures, key), captures.c.id == bindparam("gone"))
    gone = connection.execute(one, [{"gone": id_} for id_ in ids]).rowcount
    release_objects(connection, key, ids)
    return gone


def remove_captures(connection: Connection, key: TaskKey) -> None:
    """Removes all captures of a task."""
    connection.execute(delete(captures).where(belongs_to(captures, key)))
    release_objects(connection, key)


def remove_some_captures(connection: Connection, key: TaskKey, most: int) -> bool:
    """Removes the oldest captures of a task: images of at most `most` bytes, but at least one. Returns whether there was any."""
    query = select(captures.c.id, captures.c.size).where(belongs_to(captures, key)).order_by(captures.c.ordinal)
    return delete_captures(connection, key, first_within(connection.execute(query), most)) > 0


def copy_images(connection: Connection, key: TaskKey, captured: dict[str, str]) -> None:
    """Gives examples the images of captures, byte for byte as they are stored, or where they lie.

    Args:
        captured: the id of the capture, by the id of the example.
    """
    image = select(capture_images.c.image).where(belongs_to(capture_images, key), capture_images.c.capture == bindparam("of"))
    of_example = belongs_to(examples, key), examples.c.id == bindparam("to")
    if captured:
        pairs = [{"to": example, "of": capture} for example, capture in captured.items()]
        connection.execute(update(examples).where(*of_example).values(image=image.scalar_subquery()), pairs)
        hand_over_objects(connection, key, captured)


def _infos(connection: Connection, key: TaskKey, ids: Sequence[str]) -> Iterator[CaptureInfo]:
    names = ("id", "version", "created_at", "media_type", "size", "sha256", "backbone_sha256", "content")
    query = select(*(captures.c[name] for name in names)).where(belongs_to(captures, key))
    for start in range(0, len(ids), MOST_VALUES):
        for row in connection.execute(query.where(captures.c.id.in_(ids[start : start + MOST_VALUES]))):
            yield _info(row)


def _info(row: Row[Any]) -> CaptureInfo:
    (count,) = _COUNT.unpack_from(row.content)
    vector = np.frombuffer(row.content, "<f4", count, _COUNT.size).astype(np.float32, copy=False)
    answered = _answer.decode(row.content[_COUNT.size + vector.nbytes :])
    return CaptureInfo(
        id=row.id,
        version=row.version,
        created_at=row.created_at,
        media_type=row.media_type,
        size=row.size,
        sha256=row.sha256,
        backbone_sha256=row.backbone_sha256,
        embedding=vector,
        answered=answered,
    )


def _packed(embedding: Float32, answered: Answered) -> bytes:
    """Returns embedding and answer as one value: together they seldom take more than one page of the database."""
    return _COUNT.pack(len(embedding)) + embedding.astype("<f4").tobytes() + msgspec.json.encode(asdict(answered))
