"""An example in the wrong class comes into the right one: the same image under another label, in a new, active version.

Earlier versions keep it as it was, so what the new one has is a copy with an id of its own. That begins with the id of the first
(`server.ids.original`): forgetting one forgets the image.
"""

from dataclasses import replace

from server.errors import Conflict, ExampleNotFound, VersionNotFound
from server.ids import copy_of
from server.journeys.adapt import ATTEMPTS, refit
from server.journeys.support_set import spelt_as_before
from server.metrics import Stopwatch
from server.schemas.from_records import changed_task_reply
from server.schemas.replies import ChangedTaskReply
from server.service import Service
from server.store.records import VersionConflict


async def relabel_example(service: Service, tenant: str, task_id: str, example_id: str, label: str) -> ChangedTaskReply:
    """Gives an example of the active version another label; where it has that label already, nothing is changed.

    Raises:
        TaskNotFound, ExampleNotFound: there is no such task, or its active version has no such example.
        TooFewClasses, LimitExceeded: such a support set breaks a rule.
        Conflict: others kept changing the task at the same time.
        Unavailable: the server cannot do it now.
    """
    watch = Stopwatch(service.metrics)
    async with service.changing(tenant, task_id):
        for _ in range(ATTEMPTS):
            task = await service.in_thread(service.store.task, tenant, task_id)
            number = task.version.number
            label = spelt_as_before([label], {entry.label for entry in task.version.classes})[label]
            try:
                found = await service.in_thread(service.store.example, tenant, task_id, number, example_id)
                if found.label == label:  # It may be the answer to this that did not arrive.
                    return changed_task_reply(task, None, watch.milliseconds())
                if found.id != example_id:
                    raise ExampleNotFound(example_id)
                copy = replace(found, id=copy_of(example_id), label=label)
                head, quality = await refit(service, tenant, task, [copy], example_id, watch)
                with watch.stage("store"):
                    changed = await service.in_writer(
                        service.store.add_version, tenant, task_id, number, "relabelled", [copy], [example_id], head
                    )
            except (VersionConflict, VersionNotFound):
                continue
            service.active.keep(tenant, task_id, changed.version.number, head)
            return changed_task_reply(changed, quality, watch.milliseconds())
    raise Conflict("other requests keep changing this task; try again")
