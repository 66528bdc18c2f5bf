"""Refreshes in the database against a model of plain dictionaries, through whatever sequence of calls hypothesis thinks of."""

import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from models.heads.head import BackboneRef
from server.errors import RefreshNotFound, TaskNotFound, VersionNotFound, WrongRefreshState
from server.store.records import Task, TaskKey, VersionConflict
from server.store.refresh_records import Judgement, Reason, RefreshAction, RefreshLease, RefreshNote, RefreshState, RefreshStopped
from server.store.store import Store
from tests.helpers import stored
from tests.helpers.databases import database_url
from tests.helpers.stored import BACKBONE, head_of, open_empty

pytestmark = pytest.mark.each_database

T = "default"
OTHER = BackboneRef("other@1", "cd" * 32)
LABELS = ["cat", "dog"]
JUDGED = Judgement("leave-one-out", 2, 0.5, 1.0)
picks = st.integers(min_value=0, max_value=10**6)

# As the documentation says it: in which states something may be done, and what comes of it.
ACTIONS: dict[RefreshAction, tuple[set[RefreshState], RefreshState]] = {
    "pause": ({"running", "paused"}, "paused"),
    "resume": ({"running", "paused"}, "running"),
    "cancel": ({"running", "paused", "cancelled"}, "cancelled"),
    "rollback": ({"finished", "cancelled", "failed", "rolled_back", "rolling_back"}, "rolling_back"),
}


def move(store: Store, lease: RefreshLease, task: str, judged: Judgement = JUDGED) -> Task:
    """What the server does with a claimed task whose head is ready."""
    before = store.tasks.get(TaskKey(T, task)).version
    support = store.examples.support(TaskKey(T, task), before.number)
    embedded = dict(zip(support.ids, support.embeddings, strict=True))

    note = RefreshNote(lease.job.id, lease.id, "moved", before.number, before.backbone, judgement=judged)
    backbone = OTHER if before.backbone == BACKBONE else BACKBONE
    return store.tasks.add_refreshed(TaskKey(T, task), before.number, embedded, head_of(LABELS, backbone), note)


def begin(store: Store) -> RefreshLease:
    """The server takes part in the refresh that is to be worked on."""
    job = store.refresh_work.job()
    assert job
    return store.refresh_work.begin(job)


@dataclass
class RefreshModel:
    state: RefreshState
    tasks: dict[str, str]


class RefreshMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.url = database_url(Path(self.folder.name))
        self.store = open_empty(Path(self.folder.name))
        self.tasks: list[str] = []
        self.model: dict[str, RefreshModel] = {}
        self.lease: RefreshLease | None = None

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule()
    def create_task(self) -> None:
        self.tasks.append(stored.create(self.store).id)

    @rule(everything=st.booleans(), wanted=st.lists(picks, max_size=3))
    def create(self, everything: bool, wanted: list[int]) -> None:
        some = list(dict.fromkeys(self.tasks[pick % len(self.tasks)] for pick in wanted if self.tasks))
        refresh = self.store.refreshes.create(T, "other@1", 0.02, "all" if everything else some)
        self.model[refresh.id] = RefreshModel("running", dict.fromkeys(self.tasks if everything else some, "waiting"))

    def at_work(self) -> tuple[str, RefreshModel] | None:
        return next(
            ((id_, refresh) for id_, refresh in sorted(self.model.items()) if refresh.state in {"running", "rolling_back"}), None
        )

    @rule(outcome=st.sampled_from(["move", "kept", "unchanged", "failed"]))
    def work(self, outcome: str) -> None:
        """One step of the server's."""
        job, found = self.store.refresh_work.job(), self.at_work()
        assert (job and job.id) == (found and found[0])
        if not job or not found:
            return
        model = found[1]
        if self.lease is None or self.lease.job != job:
            assert self.lease is None or self.store.refresh_work.claim(self.lease) is None
            self.lease = self.store.refresh_work.begin(job)
        lease = self.lease
        claimed = self.store.refresh_work.claim(lease)
        assert claimed is not None
        pending = "waiting" if model.state == "running" else "returning"
        assert [task.task for task in claimed] == sorted(each for each, now in model.tasks.items() if now == pending)[:16]
        task = claimed[0] if claimed else None
        if task is None:
            assert self.store.refresh_work.end(job)
            model.state = "finished" if model.state == "running" else "rolled_back"
        elif model.state == "rolling_back":
            assert task.version_before
            assert task.version_after
            note = RefreshNote(job.id, lease.id, "returned", version_returned=task.version_before)
            if self.store.tasks.get(TaskKey(T, task.task)).version.number == task.version_after:
                back = self.store.tasks.put_back(TaskKey(T, task.task), task.version_after, task.version_before, note)
                assert back.version.number == task.version_before
            else:
                self.store.refresh_work.note(TaskKey(T, task.task), note)
            model.tasks[task.task] = "returned"
        elif outcome == "move":
            assert move(self.store, lease, task.task).version.change == "refreshed"
            model.tasks[task.task] = "moved"
        else:
            reason = Reason("why", "because") if outcome == "failed" else None
            self.store.refresh_work.note(TaskKey(T, task.task), RefreshNote(job.id, lease.id, outcome, reason=reason))  # type: ignore[arg-type]
            model.tasks[task.task] = outcome

    @rule()
    def end(self) -> None:
        """As a server does that found no pending task a moment ago, whatever has become of the refresh since."""
        job, found = self.store.refresh_work.job(), self.at_work()
        if job and found:
            model = found[1]
            pending, end = ("waiting", "finished") if model.state == "running" else ("returning", "rolled_back")
            assert self.store.refresh_work.end(job) == (pending not in model.tasks.values())
            if pending not in model.tasks.values():
                model.state = end  # type: ignore[assignment]

    @precondition(lambda self: self.model)
    @rule(pick=picks, action=st.sampled_from(sorted(ACTIONS)))
    def change(self, pick: int, action: RefreshAction) -> None:
        id_, model = list(self.model.items())[pick % len(self.model)]
        allowed, after = ACTIONS[action]
        if model.state not in allowed:
            with pytest.raises(WrongRefreshState):
                self.store.refreshes.change(T, id_, action)
            return
        assert self.store.refreshes.change(T, id_, action).state == after
        turns = {"cancel": {"waiting": "skipped"}, "rollback": {"moved": "returning"}}.get(action, {})
        if model.state != after:
            model.tasks = {task: turns.get(outcome, outcome) for task, outcome in model.tasks.items()}
        model.state = after

    @rule()
    def fail(self) -> None:
        found = self.at_work()
        if found and found[1].state == "running":
            job = self.store.refresh_work.job()
            assert job
            if self.lease:  # Another server that is able would go on.
                self.store.refresh_work.leave(self.lease)
            lease, self.lease = self.store.refresh_work.begin(job), None
            self.store.refresh_work.fail(lease, Reason("why", "because"))
            self.store.refresh_work.leave(lease)
            model = found[1]
            model.state = "failed"
            model.tasks = {task: "skipped" if now == "waiting" else now for task, now in model.tasks.items()}

    @precondition(lambda self: self.tasks)
    @rule(pick=picks)
    def delete_task(self, pick: int) -> None:
        task = self.tasks.pop(pick % len(self.tasks))
        self.store.tasks.delete(TaskKey(T, task))
        for model in self.model.values():
            if task in model.tasks:
                model.tasks[task] = "gone"

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = Store.open(self.url)

    @precondition(lambda self: self.model)
    @rule(pick=picks)
    def note_what_is_not_pending(self, pick: int) -> None:
        """Nothing is written of it, and nothing done to the task, also where the server has claimed it."""
        if self.lease is None:
            return
        id_, model = list(self.model.items())[pick % len(self.model)]
        lease = RefreshLease(replace(self.lease.job, id=id_), self.lease.id)
        working = {"running": "waiting", "rolling_back": "returning"}.get(model.state)
        for task, outcome in model.tasks.items():
            if outcome != working:
                with pytest.raises(RefreshStopped):
                    self.store.refresh_work.note(TaskKey(T, task), RefreshNote(id_, lease.id, "unchanged"))
                if task in self.tasks:
                    before = self.store.tasks.versions(TaskKey(T, task))
                    with pytest.raises(RefreshStopped):
                        move(self.store, lease, task)
                    assert self.store.tasks.versions(TaskKey(T, task)) == before

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        found, _ = self.store.refreshes.page(T, None, 100)
        assert [refresh.id for refresh in found] == sorted(self.model, reverse=True)
        for refresh in found:
            model = self.model[refresh.id]
            assert (refresh.state, refresh.tasks) == (model.state, Counter(model.tasks.values()))
            rows, _ = self.store.refreshes.tasks(T, refresh.id, None, 100)
            assert {row.task: row.outcome for row in rows} == model.tasks
            judged = [row.judgement for row in rows if row.judgement]
            assert (refresh.judged, refresh.before, refresh.after) == (len(judged), *((0.5, 1.0) if judged else (None, None)))
            assert all(row.judgement is None and row.reason is None for row in rows if row.outcome == "gone")
            returns = model.state in {"rolling_back", "rolled_back"}
            counted = [o for o in model.tasks.values() if not returns or o in {"returning", "returned"}]
            done = [o for o in counted if o not in {"waiting", "returning", "skipped"}]
            assert (refresh.images, refresh.images_done) == (2 * len(counted), 2 * len(done))


TestRefreshStore = RefreshMachine.TestCase
TestRefreshStore.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@pytest.mark.postgresql
class TestRefreshStoreInPostgres(TestRefreshStore):  # type: ignore[valid-type, misc]
    """The same in PostgreSQL."""

    settings = settings(TestRefreshStore.settings, max_examples=6)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_empty(tmp_path)


def test_what_is_another_tenants_does_not_exist(store: Store) -> None:
    with closing(store):
        theirs = stored.create(store, "theirs").id
        refresh = store.refreshes.create("theirs", "other@1", 0.02, "all")
        lease = begin(store)
        assert store.refresh_work.claim(lease)
        assert store.refreshes.create(T, "other@1", 0.02, "all").tasks == {}
        with pytest.raises(TaskNotFound):
            store.refreshes.create(T, "other@1", 0.02, [theirs])
        for call in (store.refreshes.get, lambda t, id_: store.refreshes.tasks(t, id_, None, 1)):
            with pytest.raises(RefreshNotFound):
                call(T, refresh.id)
        with pytest.raises(RefreshNotFound):
            store.refreshes.change(T, refresh.id, "cancel")
        with pytest.raises(RefreshStopped):
            store.refresh_work.note(TaskKey(T, theirs), RefreshNote(refresh.id, lease.id, "unchanged"))
        assert store.refreshes.get("theirs", refresh.id).tasks == {"waiting": 1}


def test_a_refresh_that_was_paused_when_it_was_looked_at_and_resumed_since_does_not_end(store: Store) -> None:
    with closing(store):
        task = stored.create(store)
        refresh = store.refreshes.create(T, "other@1", 0.02, "all").id
        lease = begin(store)
        store.refreshes.change(T, refresh, "pause")
        assert store.refresh_work.claim(lease) is None
        store.refreshes.change(T, refresh, "resume")
        assert not store.refresh_work.end(lease.job)
        found = store.refreshes.get(T, refresh)
        assert (found.state, found.tasks) == ("running", {"waiting": 1})
        assert store.refresh_work.claim(lease)
        store.refresh_work.note(task.key, RefreshNote(refresh, lease.id, "unchanged"))
        assert store.refresh_work.end(lease.job)
        assert store.refreshes.get(T, refresh).state == "finished"


def test_a_version_is_put_back_only_where_the_refreshed_one_is_active(store: Store) -> None:
    with closing(store):
        task = stored.create(store)
        refresh = store.refreshes.create(T, "other@1", 0.02, [task.id])
        lease = begin(store)
        store.refresh_work.claim(lease)
        assert move(store, lease, task.id).version.number == 2
        store.refresh_work.end(lease.job)
        store.refreshes.change(T, refresh.id, "rollback")
        lease = begin(store)
        store.refresh_work.claim(lease)
        note = RefreshNote(refresh.id, lease.id, "returned", version_returned=1)
        with pytest.raises(VersionNotFound):
            store.tasks.put_back(task.key, 2, 7, note)
        store.tasks.change(task.key, version=1)
        with pytest.raises(VersionConflict):
            store.tasks.put_back(task.key, 2, 1, note)
        assert store.refreshes.get(T, refresh.id).tasks == {"returning": 1}
        store.tasks.change(task.key, version=2)
        assert store.tasks.put_back(task.key, 2, 1, note).version.number == 1
        assert store.refreshes.get(T, refresh.id).tasks == {"returned": 1}


def test_the_oldest_refresh_of_all_tenants_is_worked_on_first(tmp_path: Path) -> None:
    with closing(Store.open(database_url(tmp_path))) as store:
        done = store.refreshes.create("ours", "new@1", 0.02, "all")
        store.refreshes.change("ours", done.id, "cancel")
        first = store.refreshes.create("ours", "new@1", 0.02, "all")
        store.refreshes.create("theirs", "new@1", 0.02, "all")
        job = store.refresh_work.job()
        assert job is not None
        assert (job.tenant, job.id) == ("ours", first.id), "its number is greater, and it is older"
