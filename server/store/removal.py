"""What removing for good says to the database: the store's statements that leave nothing behind. Each names its tenant."""

from sqlalchemy import Connection, delete, select, update

from server.errors import ExampleNotFound
from server.ids import original
from server.store.records import TaskKey
from server.store.statements import belongs_to
from server.store.tables import examples, replays, versions


def versions_of(connection: Connection, key: TaskKey) -> list[int]:
    """The numbers of a task's versions."""
    query = select(versions.c.number).where(belongs_to(versions, key))
    return list(connection.execute(query).scalars())


def versions_with(connection: Connection, key: TaskKey, example: str) -> list[int]:
    """The numbers of the versions that were fitted with an example's image, be it under another label. Raises ExampleNotFound if
    the task has no such example.
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
    """Removes images of a task, `most` bytes or a single one, with their hashes; whether there were any."""
    of_task = belongs_to(examples, key)
    with_image = select(examples.c.id, examples.c.size).where(of_task, examples.c.sha256.is_not(None))
    some: list[str] = []
    for row in connection.execute(with_image.order_by(examples.c.id)):
        most -= row.size
        if some and most < 0:
            break
        some.append(row.id)
    for id_ in some:
        connection.execute(update(examples).where(of_task, examples.c.id == id_).values(image=None, sha256=None))
    return bool(some)


def remove_unused_examples(connection: Connection, key: TaskKey) -> None:
    """Removes the examples of a task that none of its versions has: nobody could see or return to them."""
    lists = select(versions.c.examples).where(belongs_to(versions, key))
    used = set[str]().union(*connection.execute(lists).scalars())
    ids = select(examples.c.id).where(belongs_to(examples, key))
    of_task = delete(examples).where(belongs_to(examples, key))
    for unused in set(connection.execute(ids).scalars()) - used:
        connection.execute(of_task.where(examples.c.id == unused))


def forget_answers(connection: Connection, key: TaskKey) -> None:
    """Leaves only the keys of the answers that told of a task, so that a retry does not do again what was done."""
    of_task = update(replays).where(belongs_to(replays, key))
    connection.execute(of_task.values(fingerprint="", body=""))
