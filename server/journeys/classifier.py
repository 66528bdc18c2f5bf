"""The journey of a task's active version to a caller who scores images elsewhere."""

from models.answers.classifier import Classifier
from server.journeys.active_task import find_task
from server.service import Service
from server.store.records import TaskKey


async def classifier_of(service: Service, key: TaskKey) -> Classifier:
    """Returns the active version of a task as a classifier.

    Raises:
        TaskNotFound: there is no such task.
        Unavailable: its support set cannot be had now.
    """
    named = await service.pools.in_thread(service.store.tasks.get, key)
    active = await find_task(service, key)
    index = None if active.head.independent or active.searchable is None else active.searchable.index
    return Classifier(key.id, named.name, active.version, active.head, index)
