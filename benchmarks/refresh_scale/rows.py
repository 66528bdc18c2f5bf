"""The time of each statement of a refresh, by the number of tasks in it."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.refresh_scale.stored import TENANT
from server.store.records import TaskKey
from server.store.refresh_records import Judgement, LeaseProgress, RefreshNote
from server.store.refresh_work import RefreshWork
from server.store.store import Store

_JUDGED = Judgement("leave-one-out", 25, 0.5, 1.0)
_TURNS = 20


def statement_times(store: Store) -> dict[str, float]:
    """Returns the milliseconds of each statement of a refresh of all tasks; of those that are repeated the mean."""
    times: dict[str, float] = {}

    def timed(name: str, statement: Callable[[], Any], turns: int = 1) -> Any:
        began = time.perf_counter()
        for _ in range(turns):
            result = statement()
        times[name] = 1e3 * (time.perf_counter() - began) / turns
        return result

    refreshes, work = store.refreshes, RefreshWork(store._database, shared=True)
    id_ = timed("create", lambda: refreshes.create(TENANT, "other@1", 0.02, "all")).id
    job = timed("find the oldest at work", work.job, _TURNS)
    lease = timed("take part", lambda: work.begin(job))
    claimed = timed("claim 16 tasks", lambda: work.claim(lease), _TURNS)
    timed("renew the lease", lambda: work.renew(lease, LeaseProgress()), _TURNS)
    notes = iter(claimed)

    def note() -> None:
        work.note(TaskKey(TENANT, next(notes).task), RefreshNote(id_, lease.id, "kept", judgement=_JUDGED))

    timed("note an outcome", note, len(claimed))
    timed("show", lambda: refreshes.get(TENANT, id_), _TURNS)
    timed("list", lambda: refreshes.page(TENANT, None, 20), _TURNS)
    timed("list 100 tasks", lambda: refreshes.tasks(TENANT, id_, None, 100), _TURNS)
    timed("pause", lambda: refreshes.change(TENANT, id_, "pause"))
    timed("resume", lambda: refreshes.change(TENANT, id_, "resume"))
    timed("cancel", lambda: refreshes.change(TENANT, id_, "cancel"))
    timed("begin to roll back", lambda: refreshes.change(TENANT, id_, "rollback"))
    work.end(work.job() or job)
    return times
