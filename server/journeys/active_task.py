"""The version of a task that answers a request, and the parts of it that the answer needs."""

from dataclasses import dataclass, replace
from typing import Literal

from models.heads.head import Head
from models.heads.prediction_sets import SetRule
from server.cache.support import SearchableSupport
from server.errors import NotForSeveralLabels, VersionNotFound
from server.service import Service
from server.store.records import Active, CaptureSetting, TaskKey
from server.store.support_records import Support

Unknown = Literal["judge", "ignore"]
Mode = Literal["inductive", "transductive"]


@dataclass(frozen=True, slots=True, eq=False)
class ActiveTask:
    """A task's version that was active when the request came in, or that the request named: it answers the whole request,
    whatever changes meanwhile.

    Attributes:
        capture: which of its predictions are captured.
        unknown: whether the answer says which images are strangers.
        searchable: its support set, where strangers are to be told.
        support: likewise, with its embeddings, where queries are judged together.
        set_rule: which labels a prediction set holds, where sets are asked for.
        forgettings: how often something of the task had been forgotten.
    """

    key: TaskKey
    version: int
    capture: CaptureSetting
    head: Head
    unknown: Unknown
    searchable: SearchableSupport | None
    support: Support | None
    set_rule: SetRule | None = None
    forgettings: int = 0

    @property
    def id(self) -> str:
        return self.key.id


async def find_task(
    service: Service,
    key: TaskKey,
    unknown: Unknown = "judge",
    mode: Mode = "inductive",
    sets: bool = False,
    version: int | None = None,
) -> ActiveTask:
    """Returns the active version of a task, before anything else is done for the request.

    Args:
        sets: whether prediction sets are asked for.
        version: the number of the version that shall answer in place of the active one.

    Raises:
        TaskNotFound: there is no such task.
        VersionNotFound: it has no such version.
        NotForSeveralLabels: an image of it may have several labels, and sets are asked for, or another mode.
        Unavailable: its support set is needed, and cannot be had now.
    """
    active = service.store.active.known(key)
    while True:
        if active is None:
            active = await service.pools.in_thread(service.store.active.get, key)
        if version not in {None, active.version}:
            # Whether a version exists is known in memory of the active one alone. So this one is read each time.
            head = await service.pools.in_thread(service.store.tasks.head, key, version)
            return await _load(service, key, replace(active, version=version), head, unknown, mode, sets)
        try:
            head = await _head(service, key, active.version)
            return await _load(service, key, active, head, unknown, mode, sets)
        except VersionNotFound:  # It was forgotten between two look-ups, and another one is active now.
            service.store.active.doubt(key)
            active = None


async def _head(service: Service, key: TaskKey, version: int) -> Head:
    head = service.heads.cached(key, version)
    if head is None:
        head = await service.pools.in_thread(service.heads.load, key, version)
    return head


async def _load(
    service: Service, key: TaskKey, active: Active, head: Head, unknown: Unknown, mode: Mode, sets: bool
) -> ActiveTask:
    version = active.version
    if head.independent and (sets or mode == "transductive"):
        raise NotForSeveralLabels("coverage and mode=transductive")
    searchable, support = None, None
    if unknown == "judge" or mode == "transductive":
        searchable = service.support.cached(key, version)
        if searchable is None:
            async with service.backbones.use(head.backbone) as backbone:
                searchable = await service.pools.in_thread(service.support.load, key, version, len(head.labels), backbone)
    if mode == "transductive" and searchable is not None and searchable.index is not None:
        support = await service.pools.in_thread(service.store.examples.support, key, version)
    rule = await _set_rule(service, key, version, head) if sets else None
    return ActiveTask(key, version, active.capture, head, unknown, searchable, support, rule, active.forgettings)


async def _set_rule(service: Service, key: TaskKey, version: int, head: Head) -> SetRule:
    rule = service.set_rules.cached(key, version)
    if rule is None:
        async with service.backbones.use(head.backbone) as backbone:
            rule = await service.pools.in_fitter(service.set_rules.load, key, version, head, backbone)
    return rule
