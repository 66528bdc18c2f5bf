"""How the store reads a version's support set, within a transaction. Each statement names its tenant."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, and_, select

from server.errors import BackboneUnavailable, ImageNotKept
from server.records import ExampleImage, ExampleInfo, Support
from server.statements import find_version, support_ids
from server.tables import embeddings, examples, versions

_EMBEDDING_OF = and_(
    embeddings.c.tenant == examples.c.tenant, embeddings.c.task == examples.c.task, embeddings.c.example == examples.c.id
)


def read_support(connection: Connection, tenant: str, task: str, number: int) -> Support:
    """Raises VersionNotFound, or BackboneUnavailable if an example has no embedding by the version's backbone."""
    row = find_version(connection, tenant, task, number, versions.c.examples, versions.c.backbone_sha256)
    query = select(examples.c.id, examples.c.label, embeddings.c.embedding).join_from(examples, embeddings, _EMBEDDING_OF)
    query = query.where(examples.c.tenant == tenant, examples.c.task == task, embeddings.c.backbone_sha256 == row.backbone_sha256)
    found = {example.id: example for example in connection.execute(query)}
    if lacking := [example for example in row.examples if example not in found]:
        raise BackboneUnavailable(
            f"{len(lacking)} examples of version {number} have no embedding by its backbone "
            f"(file {row.backbone_sha256[:12]}…); make another version active"
        )
    ordered = [found[example] for example in row.examples]
    vectors = np.stack([np.frombuffer(example.embedding, "<f4") for example in ordered])
    return Support(
        ids=tuple(row.examples),
        labels=tuple(example.label for example in ordered),
        embeddings=vectors.astype(np.float32, copy=False),
        backbone_sha256=row.backbone_sha256,
    )


def read_examples(connection: Connection, tenant: str, task: str, number: int, after: str, limit: int) -> list[ExampleInfo]:
    """The next `limit` examples of a version by id, after the id `after`."""
    columns = (examples.c[name] for name in ("id", "label", "media_type", "size", "sha256", "created_at"))
    ids = _next_ids(connection, tenant, task, number, after, limit)
    return [ExampleInfo(*row) for row in _rows_of(connection, select(*columns), tenant, task, ids)]


def read_images(connection: Connection, tenant: str, task: str, number: int, after: str, limit: int) -> list[ExampleImage]:
    """Likewise, their images. Raises ImageNotKept if there is not each of them."""
    ids = _next_ids(connection, tenant, task, number, after, limit)
    found = [ExampleImage(*row) for row in _rows_of(connection, select(examples.c.id, examples.c.image), tenant, task, ids)]
    if any(example.image is None for example in found):
        raise ImageNotKept
    return found


def _next_ids(connection: Connection, tenant: str, task: str, number: int, after: str, limit: int) -> list[str]:
    return sorted(example for example in support_ids(connection, tenant, task, number) if example > after)[:limit]


def _rows_of(connection: Connection, query: Select[Any], tenant: str, task: str, ids: Sequence[str]) -> list[Any]:
    """The rows of these examples, whose ids ascend; a range and a filter instead of an IN, whose number of parameters databases
    limit.
    """
    if not ids:
        return []
    wanted = set(ids)
    in_range = query.where(examples.c.tenant == tenant, examples.c.task == task, examples.c.id.between(ids[0], ids[-1]))
    return [row for row in connection.execute(in_range.order_by(examples.c.id)) if row.id in wanted]
