"""Puts images of new examples into the object store, if the server has one, before the database stores where they lie."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from server.errors import StorageFailed
from server.service import Service
from server.store.records import NewExample, TaskKey


@asynccontextmanager
async def placed(service: Service, key: TaskKey, new: Sequence[NewExample]) -> AsyncIterator[Sequence[NewExample]]:
    """Yields new examples as the store takes them. The block must store them; where it fails, nothing of them stays.

    Raises:
        StorageFailed: the object store or the database cannot be written.
    """
    images = {(key, example.id): example.image for example in new if isinstance(example.image, bytes)}
    if not images or not service.store.images.elsewhere:
        yield new
        return
    found = await service.pools.in_images(service.store.images.place, images)
    try:
        yield [replace(example, image=found.get((key, example.id))) for example in new]
    except BaseException:
        with suppress(StorageFailed):  # They are erased when they are due.
            await service.pools.in_images(service.store.images.give_up, found)
        service.captures.sweep_soon(erase=True)
        raise
