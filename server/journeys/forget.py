"""The way out: an example or a task leaves with all that was made of it, until no file holds a byte of it.

Head fitted without the example -> removed in one transaction, with every version fitted with it -> dropped from memory ->
erased from the files. The way is walked to its end even if the client leaves.
"""

import asyncio

from models.heads.head import Head
from server.errors import ErasurePending, ExampleNotFound, StorageFailed
from server.journeys.adapt import refit
from server.journeys.quality import accuracy_of
from server.journeys.retry import retry_on_conflict
from server.metrics import Stopwatch
from server.schemas.from_records import changed_task_reply
from server.schemas.quality import Quality
from server.schemas.replies import ChangedTaskReply
from server.service import Service
from server.store.records import Task, TaskKey

# Readers of the database are done in milliseconds, save other programs, such as one that makes a backup.
_ERASING_ATTEMPTS = 40
_PAUSE_SECONDS = 0.05


async def forget_example(service: Service, key: TaskKey, example_id: str) -> ChangedTaskReply:
    """Removes an example and every version of the task that was fitted with it, be it of the active version or not.

    Where it is, a version without it becomes the active one: its head is the one that a fresh fit would give. An example that was
    relabelled goes under every label that it had. All captures of the task go too: any of them may show the same thing, and each
    holds what one of the versions answered.

    Raises:
        TaskNotFound, ExampleNotFound: there is no such task, or it has no such example.
        TooFewClasses: fewer than two classes would be left.
        Conflict: others kept changing the task at the same time.
        ErasurePending: it is removed, but its bytes are still in the database's log or in the object store.
        Unavailable: the server cannot do it now.
    """
    watch = Stopwatch(service.metrics)
    try:
        task, quality = await _remove(service, key, example_id, watch)
    finally:  # Also if there is no such example: an earlier request may have removed it and not have been able to erase it.
        with watch.stage("store"):
            await erase(service, key.tenant)
    return changed_task_reply(task, quality, watch.milliseconds())


async def delete_task(service: Service, key: TaskKey) -> None:
    """Removes a task with all its versions and examples.

    Raises:
        TaskNotFound: there is no such task.
        ErasurePending: it is removed, but its bytes are still in the database's log or in the object store.
        StorageFailed: the store cannot be written.
    """
    try:
        gone = await service.pools.in_writer(service.store.tasks.delete, key)
        service.drop(key, gone)
    finally:
        await erase(service, key.tenant)


async def _remove(service: Service, key: TaskKey, example_id: str, watch: Stopwatch) -> tuple[Task, Quality | None]:
    """Returns the task without the example, in the database and in memory; and its quality, if the active version had it."""

    async def attempt() -> tuple[Task, Quality | None]:
        task = await service.pools.in_thread(service.store.tasks.get, key)
        current, head, quality = await _head_without(service, task, example_id, watch)
        with watch.stage("store"):
            changed, gone = await service.pools.in_writer(
                service.store.tasks.forget_example, key, task.version.number, current, head, accuracy_of(quality)
            )
        service.drop(key, gone)
        if head is not None:
            service.heads.keep(key, changed.version.number, head)
        return changed, quality

    async with service.changing(key):
        return await retry_on_conflict(attempt)


async def _head_without(
    service: Service, task: Task, example_id: str, watch: Stopwatch
) -> tuple[str, Head | None, Quality | None]:
    """Returns the example's id in the active version, a head fitted without the example, and its quality.

    The id may be another one where the example has another label now. Head and quality are None if the version's head was
    fitted without the example.
    """
    try:
        found = await service.pools.in_thread(service.store.examples.get, task.key, task.version.number, example_id)
    except ExampleNotFound:
        return example_id, None, None
    return found.id, *await refit(service, task, [], found.id, watch)


async def erase(service: Service, tenant: str) -> None:
    """Waits until neither a file nor the object store holds a byte of what the tenant removed before.

    Raises:
        ErasurePending: another program prevents it, or the object store is down. Then the server goes on in the background.
    """
    objects = await _objects_erased(service, tenant)
    for _ in range(_ERASING_ATTEMPTS):
        if await service.pools.in_writer(service.store.erase):
            break
        await asyncio.sleep(_PAUSE_SECONDS)
    else:
        raise ErasurePending("in the database's log, which another program is reading")
    if not objects:
        raise ErasurePending("in the object store, which failed")


async def _objects_erased(service: Service, tenant: str) -> bool:
    try:
        await service.pools.in_images(service.store.images.erase, tenant)
    except StorageFailed:
        service.captures.sweep_soon(erase=True)
        return False
    return True
