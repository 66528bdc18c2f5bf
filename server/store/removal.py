"""The store's statements that remove data for good and leave nothing behind. Each names its tenant."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Row, delete, select, update

from server.errors import ExampleNotFound, StorageFailed
from server.ids import original
from server.store.database import Database
from server.store.object_rows import release_objects
from server.store.records import TaskKey
from server.store.statements import belongs_to
from server.store.tables import examples, versions

_Result = TypeVar("_Result")

RemoveSome = Callable[[Connection, TaskKey, int], bool]
"""Removes at most so many bytes of something of a task, but at least one piece. Returns whether there was any."""


class Room(Protocol):
    """The part of a database that `removing` takes."""

    def give_room(self) -> int: ...

    def erase(self) -> bool: ...


def removing(database: Room, remove: Callable[[], _Result], first: Callable[[int], None] = lambda _room: None) -> _Result:
    """Calls `remove`. On a full disk it gives up the space that is kept for removing, calls `first` with its size, and retries.

    Removed data is overwritten with zeros. These go through the log and so need as much space again.
    """
    try:
        return remove()
    except StorageFailed as error:
        if not error.disk_full:
            raise
    room = database.give_room()
    database.erase()
    first(room)
    database.give_room()  # With its log emptied, the database may have taken the space back.
    return remove()


def remove_in_parts(database: Database, key: TaskKey, room: int, remove_some: RemoveSome) -> None:
    """Removes something of a task, such as its images, in parts that the log can take within `room` bytes."""
    while True:
        database.give_room()
        with database.write(key.tenant, removes=True) as connection:
            if not remove_some(connection, key, room // 2):
                return
        if not database.erase():
            raise StorageFailed("the disk of the server is full, and its log is being read; try again")


def versions_of(connection: Connection, key: TaskKey) -> list[int]:
    """Returns the numbers of a task's versions."""
    query = select(versions.c.number).where(belongs_to(versions, key))
    return list(connection.execute(query).scalars())


def versions_with(connection: Connection, key: TaskKey, example: str) -> list[int]:
    """Returns the numbers of the versions that were fitted with an example's image, under this or another label.

    Raises ExampleNotFound if the task has no such example.
    """
    known = select(examples.c.id).where(belongs_to(examples, key), examples.c.id == example)
    if connection.execute(known).one_or_none() is None:
        raise ExampleNotFound(example)
    query = select(versions.c.number, versions.c.examples).where(belongs_to(versions, key))
    return [row.number for row in connection.execute(query) if original(example) in map(original, row.examples)]


def remove_versions(connection: Connection, key: TaskKey, numbers: list[int]) -> None:
    """Removes versions with their heads."""
    of_task = delete(versions).where(belongs_to(versions, key))
    for number in numbers:
        connection.execute(of_task.where(versions.c.number == number))


def remove_some_images(connection: Connection, key: TaskKey, most: int) -> bool:
    """Removes images of a task and their hashes: at most `most` bytes, but at least one image. Returns whether there was any."""
    of_task = belongs_to(examples, key)
    with_image = select(examples.c.id, examples.c.size).where(of_task, examples.c.sha256.is_not(None))
    some = first_within(connection.execute(with_image.order_by(examples.c.id)), most)
    for id_ in some:
        connection.execute(update(examples).where(of_task, examples.c.id == id_).values(image=None, sha256=None))
    release_objects(connection, key)
    return bool(some)


def first_within(rows: Iterable[Row[Any]], most: int) -> list[str]:
    """Returns the ids of the first rows whose sizes come to at most `most` bytes, but of one at least if there is any."""
    some: list[str] = []
    for row in rows:
        most -= row.size
        if some and most < 0:
            break
        some.append(row.id)
    return some


def remove_unused_examples(connection: Connection, key: TaskKey) -> None:
    """Removes the examples of a task that none of its versions has. Nobody could see them or return to them."""
    lists = select(versions.c.examples).where(belongs_to(versions, key))
    used = set[str]().union(*connection.execute(lists).scalars())
    ids = select(examples.c.id).where(belongs_to(examples, key))
    of_task = delete(examples).where(belongs_to(examples, key))
    for unused in set(connection.execute(ids).scalars()) - used:
        connection.execute(of_task.where(examples.c.id == unused))
    release_objects(connection, key)
