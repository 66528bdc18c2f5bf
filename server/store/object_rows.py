"""Statements on images in the object store, within a transaction. Each statement names its tenant.

A row of `erasures` comes before the object, and a row of `objects` takes its place once an example or a capture has the image.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, and_, bindparam, delete, insert, literal, or_, select, true, update

from server.errors import StorageFailed
from server.ids import original
from server.store.records import ImageObject, NewExample, TaskKey
from server.store.statements import MOST_VALUES, belongs_to
from server.store.tables import captures, erasures, examples, objects

Owner = tuple[TaskKey, str]
"""A task, and the id of one of its examples or captures."""
Erasure = tuple[str, str]
"""A tenant, and the path of one of its objects."""

_OF_EXAMPLE = and_(
    examples.c.tenant == objects.c.tenant,
    examples.c.task == objects.c.task,
    examples.c.id >= objects.c.id,
    examples.c.id < objects.c.id + ".",  # which comes next after the `-` of copies
    examples.c.sha256.is_not(None),
)
_OF_CAPTURE = and_(captures.c.tenant == objects.c.tenant, captures.c.task == objects.c.task, captures.c.id == objects.c.id)
_IN_USE = or_(select(examples.c.id).where(_OF_EXAMPLE).exists(), select(captures.c.id).where(_OF_CAPTURE).exists())
_ONE = and_(erasures.c.tenant == bindparam("of"), erasures.c.path == bindparam("at"))
_PENDING = delete(erasures).where(_ONE, erasures.c.certain.is_(False))


def objects_of(added: Sequence[NewExample]) -> dict[str, ImageObject]:
    """Returns where the images of those examples lie that have just been put into the object store, by their ids."""
    return {example.id: example.image for example in added if isinstance(example.image, ImageObject)}


def expect_objects(connection: Connection, wanted: Iterable[Erasure], due: datetime) -> None:
    """Notes objects that are about to be written. They are erased when they are due, unless `store_objects` comes before."""
    rows = [{"tenant": tenant, "path": path, "due_at": due, "certain": False} for tenant, path in wanted]
    connection.execute(insert(erasures), rows)


def store_objects(connection: Connection, key: TaskKey, placed: Mapping[str, ImageObject]) -> None:
    """Stores where the images of a task's examples and captures lie, by their ids.

    Raises StorageFailed if the objects were given up meanwhile.
    """
    if not placed:
        return
    pending = _named((key.tenant, each.path) for each in placed.values())
    if connection.execute(_PENDING, pending).rowcount != len(placed):
        raise StorageFailed("it took too long until the images could be stored; nothing was changed; try again")
    rows = [
        {"tenant": key.tenant, "task": key.id, "id": original(id_), "path": each.path, "key": each.key}
        for id_, each in placed.items()
    ]
    connection.execute(insert(objects), rows)


def read_objects(connection: Connection, key: TaskKey, ids: Sequence[str]) -> dict[str, ImageObject]:
    """Returns by id, for each of these examples or captures whose image lies in the object store, where that is."""
    wanted = sorted(set(map(original, ids)))
    query = select(objects.c.id, objects.c.path, objects.c.key).where(belongs_to(objects, key))
    found = {}
    for start in range(0, len(wanted), MOST_VALUES):
        for row in connection.execute(query.where(objects.c.id.in_(wanted[start : start + MOST_VALUES]))):
            found[row.id] = ImageObject(row.path, row.key)
    return {id_: found[original(id_)] for id_ in ids if original(id_) in found}


def hand_over_objects(connection: Connection, key: TaskKey, captured: Mapping[str, str]) -> None:
    """Gives examples the objects of captures.

    Args:
        captured: the id of the capture, by the id of the example.
    """
    one = update(objects).where(belongs_to(objects, key), objects.c.id == bindparam("of")).values(id=bindparam("to"))
    if captured:
        connection.execute(one, [{"of": capture, "to": example} for example, capture in captured.items()])


def release_objects(connection: Connection, key: TaskKey, ids: Collection[str] | None = None) -> None:
    """Has the objects erased whose images no example and no capture of the task has any more. Their keys leave at once.

    Args:
        ids: of the captures that may have had them; None if any may.
    """
    unused = [belongs_to(objects, key), ~_IN_USE]
    some: list[dict[str, str]] | None = None
    if ids is not None:
        unused.append(objects.c.id == bindparam("of"))
        some = [{"of": id_} for id_ in ids]
    now = literal(datetime.now(UTC), erasures.c.due_at.type)
    gone = select(objects.c.tenant, objects.c.path, now, true()).where(*unused)
    connection.execute(insert(erasures).from_select(["tenant", "path", "due_at", "certain"], gone), some)
    connection.execute(delete(objects).where(*unused), some)


def give_up_objects(connection: Connection, given_up: Iterable[Erasure]) -> None:
    """Has objects erased that were expected, unless they have been stored."""
    connection.execute(update(erasures).where(_ONE).values(certain=True), _named(given_up))


def drop_erasures(connection: Connection, erased: Collection[Erasure]) -> None:
    """Removes the notes of objects that have been erased."""
    connection.execute(delete(erasures).where(_ONE), _named(erased))


def _named(found: Iterable[Erasure]) -> list[dict[str, str]]:
    return [{"of": tenant, "at": path} for tenant, path in found]
