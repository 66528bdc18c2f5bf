"""An example in the wrong class comes into the right one, or into none: the same image under another label, in a new version.

Earlier versions keep it as it was, so what the new one has is a copy with an id of its own. That begins with the id of the first
(`server.ids.original`): forgetting one forgets the image.
"""

from dataclasses import replace

from models.labels import Label
from server.errors import ExampleNotFound
from server.ids import copy_of
from server.journeys.adapt import refit
from server.journeys.quality import accuracy_of
from server.journeys.retry import retry_on_conflict
from server.journeys.support_set import check_mode, same_label, spelt_as_before
from server.metrics import Stopwatch
from server.schemas.from_records import changed_task_reply
from server.schemas.replies import ChangedTaskReply
from server.service import Service
from server.store.records import TaskKey


async def relabel_example(service: Service, key: TaskKey, example_id: str, label: Label | None) -> ChangedTaskReply:
    """Gives an example of the active version another label; where it has that label already, nothing is changed.

    Args:
        label: None if it is of none of the classes; the tuple of its labels where an image may have several.

    Raises:
        InvalidRequest: it is labelled as images of the other kind of task are.
        TaskNotFound, ExampleNotFound: there is no such task, or its active version has no such example.
        TooFewClasses, LimitExceeded: such a support set breaks a rule.
        Conflict: others kept changing the task at the same time.
        Unavailable: the server cannot do it now.
    """
    watch = Stopwatch(service.metrics)

    async def attempt() -> ChangedTaskReply:
        task = await service.pools.in_thread(service.store.tasks.get, key)
        check_mode([label], task.labels)
        number = task.version.number
        classes = {entry.label for entry in task.version.classes}
        (spelt,) = spelt_as_before([label], classes)
        found = await service.pools.in_thread(service.store.examples.get, key, number, example_id)
        if same_label(found.label, spelt):  # It may be the answer to this that did not arrive.
            return changed_task_reply(task, None, watch.milliseconds())
        if found.id != example_id:
            raise ExampleNotFound(example_id)
        copy = replace(found, id=copy_of(example_id), label=spelt)
        head, quality = await refit(service, task, [copy], example_id, watch)
        gone = [example_id]
        with watch.stage("store"):
            changed = await service.pools.in_writer(
                service.store.tasks.add_version, key, number, "relabelled", [copy], gone, head, None, accuracy_of(quality)
            )
        service.heads.keep(key, changed.version.number, head)
        return changed_task_reply(changed, quality, watch.milliseconds())

    async with service.changing(key):
        return await retry_on_conflict(attempt)
