"""Servers that share a refresh, against a model of who has claimed what, whoever is killed, paused or late."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import update

from server.store import refresh_work
from server.store.database_time import read_time
from server.store.records import TaskKey
from server.store.refresh_records import LeaseProgress, Reason, RefreshLease, RefreshNote, RefreshStopped, RefreshTask
from server.store.refresh_work import RefreshWork
from server.store.store import Store
from server.store.tables import refresh_leases
from tests.helpers import stored
from tests.helpers.databases import statements_in
from tests.helpers.stored import BACKBONE, head_of, open_empty

T = "default"
AT_ONCE = 3
slots = st.integers(min_value=0, max_value=2)
picks = st.integers(min_value=0, max_value=10**6)


def end_later(folder: Path, lease: RefreshLease, seconds: float) -> None:
    """The lease ends so many seconds after now by the database's clock, which are none if it is to have ended."""
    with statements_in(folder) as connection:
        until = read_time(connection) + timedelta(seconds=seconds)
        connection.execute(update(refresh_leases).where(refresh_leases.c.id == lease.id).values(until=until))


def move(store: Store, lease: RefreshLease, task: str) -> None:
    key = TaskKey(T, task)
    before = store.tasks.get(key).version
    support = store.examples.support(key, before.number)
    note = RefreshNote(lease.job.id, lease.id, "moved", before.number, before.backbone)
    embedded = dict(zip(support.ids, support.embeddings, strict=True))
    store.tasks.add_refreshed(key, before.number, embedded, head_of(["cat", "dog"], BACKBONE), note)


class ClaimsMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.most, refresh_work._TASKS = refresh_work._TASKS, AT_ONCE
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.store = open_empty(self.folder)
        self.work = RefreshWork(self.store._database, shared=True)
        self.outcomes = {stored.create(self.store).id: "waiting" for _ in range(3 * AT_ONCE)}
        self.refresh = self.store.refreshes.create(T, "tiny@1", 0.02, "all").id
        self.state: str = "running"
        self.servers: list[RefreshLease | None] = [None] * 3
        self.able: dict[str, bool] = {}  # by lease, of those that have not ended
        self.claims: dict[str, str] = {}
        self.held: dict[str, list[RefreshTask]] = {}  # by lease, what the server believes to have claimed last
        for slot in range(3):
            self.begin(slot)

    def teardown(self) -> None:
        refresh_work._TASKS = self.most
        self.store.close()
        self.temporary.cleanup()

    @rule(slot=slots)
    def begin(self, slot: int) -> None:
        """The server in this slot was killed, if there was one, and another has started."""
        if job := self.work.job():
            self.servers[slot] = lease = self.work.begin(job)
            self.able[lease.id] = True

    @rule(slot=slots)
    def claim(self, slot: int) -> None:
        if (lease := self.servers[slot]) is None:
            return
        claimed = self.work.claim(lease)
        if self.state != "running" or lease.id not in self.able:
            assert claimed is None
            return
        taken = {task for task, by in self.claims.items() if by in self.able and by != lease.id}
        free = sorted(task for task, outcome in self.outcomes.items() if outcome == "waiting" and task not in taken)
        assert claimed is not None
        assert [task.task for task in claimed] == free[:AT_ONCE]
        self.claims |= dict.fromkeys(free[:AT_ONCE], lease.id)
        self.held[lease.id] = claimed

    @rule(slot=slots, pick=picks, moves=st.booleans())
    def write(self, slot: int, pick: int, moves: bool) -> None:
        """Of whatever task: servers that were held up believe that they have claimed what others have by now."""
        if (lease := self.servers[slot]) is None:
            return
        task = list(self.outcomes)[pick % len(self.outcomes)]
        if self.state == "running" and self.outcomes[task] == "waiting" and self.claims.get(task) == lease.id:
            self.write_outcome(lease, task, moves)
            self.outcomes[task] = "moved" if moves else "unchanged"
        else:
            with pytest.raises(RefreshStopped):
                self.write_outcome(lease, task, moves)

    def write_outcome(self, lease: RefreshLease, task: str, moves: bool) -> None:
        if moves:
            move(self.store, lease, task)
        else:
            self.work.note(TaskKey(T, task), RefreshNote(self.refresh, lease.id, "unchanged"))

    @rule(slot=slots, able=st.booleans())
    def renew(self, slot: int, able: bool) -> None:
        if (lease := self.servers[slot]) is None:
            return
        heard = self.work.renew(lease, LeaseProgress(able, 7, 2.5))
        if lease.id in self.able:
            self.able[lease.id] = able
        if self.state != "running" or lease.id not in self.able:
            assert heard is None
        else:
            assert heard == any(each for id_, each in self.able.items() if id_ != lease.id)

    @rule(slot=slots)
    def leave(self, slot: int) -> None:
        if lease := self.servers[slot]:
            self.work.leave(lease)
            self.able.pop(lease.id, None)
            self.servers[slot] = None

    @rule(slot=slots)
    def give_back(self, slot: int) -> None:
        """Also what others have claimed by now."""
        if (lease := self.servers[slot]) and (held := self.held.pop(lease.id, None)):
            self.work.give_back(lease, held)
            self.claims = {task: by for task, by in self.claims.items() if by != lease.id or task not in {t.task for t in held}}

    @precondition(lambda self: self.able)
    @rule(pick=picks, late=st.booleans())
    def end_a_lease(self, pick: int, late: bool) -> None:
        """Of a server that was killed or held up; or the clock was set back by more than a lease lasts."""
        lease = list(self.able)[pick % len(self.able)]
        job = self.work.job() or next(server.job for server in self.servers if server)
        end_later(self.folder, RefreshLease(job, lease), 100.0 if late else 0.0)
        del self.able[lease]

    @precondition(lambda self: self.state in {"running", "paused"})
    @rule()
    def pause_or_resume(self) -> None:
        self.state = self.store.refreshes.change(T, self.refresh, "pause" if self.state == "running" else "resume").state

    @precondition(lambda self: self.state == "paused" and "moved" in self.outcomes.values())
    @rule()
    def cancel(self) -> None:
        self.state = self.store.refreshes.change(T, self.refresh, "cancel").state
        self.outcomes = {task: "skipped" if now == "waiting" else now for task, now in self.outcomes.items()}

    @rule()
    def end(self) -> None:
        if job := self.work.job():
            ended = "waiting" not in self.outcomes.values()
            assert self.work.end(job) == ended
            self.state = "finished" if ended else "running"

    @invariant()
    def each_task_is_as_it_was_written_once(self) -> None:
        rows, _ = self.store.refreshes.tasks(T, self.refresh, None, 100)
        assert {row.task: row.outcome for row in rows} == self.outcomes
        for task, outcome in self.outcomes.items():
            assert len(self.store.tasks.versions(TaskKey(T, task))) == 1 + (outcome == "moved")


TestClaims = ClaimsMachine.TestCase
TestClaims.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)


@pytest.mark.postgresql
class TestClaimsInPostgres(TestClaims):  # type: ignore[valid-type, misc]
    """The same in PostgreSQL."""

    settings = settings(TestClaims.settings, max_examples=5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_empty(tmp_path)) as store:
        yield store


def shared(store: Store) -> RefreshWork:
    return RefreshWork(store._database, shared=True)


def begun(work: RefreshWork) -> RefreshLease:
    job = work.job()
    assert job
    return work.begin(job)


@pytest.mark.each_database
def test_large_tasks_are_claimed_a_few_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_work, "_IMAGES", 10)
    sizes = [4, 4, 4, 30, 2, 2, 2, 2, 2, 2]
    for size in sizes:
        stored.create(store, labels=["cat", "dog"] * (size // 2))
    store.refreshes.create(T, "other@1", 0.02, "all")
    leases = [begun(shared(store)) for _ in range(5)]
    claimed = [shared(store).claim(lease) for lease in leases]
    assert [[task.images for task in some or ()] for some in claimed] == [[4, 4], [4], [30], [2] * 5, [2]]


@pytest.mark.each_database
def test_a_refresh_fails_only_if_no_server_is_able(store: Store) -> None:
    stored.create(store)
    refresh = store.refreshes.create(T, "other@1", 0.02, "all").id
    work = shared(store)
    lacking, able = begun(work), begun(work)
    assert work.renew(lacking, LeaseProgress(able=False)) is True
    assert work.renew(able, LeaseProgress(True, 1, 3.0)) is False
    work.fail(lacking, Reason("why", "because"))
    assert store.refreshes.get(T, refresh).state == "running"
    work.leave(able)
    assert work.renew(lacking, LeaseProgress(able=False)) is False
    work.fail(lacking, Reason("why", "because"))
    assert store.refreshes.get(T, refresh).tasks == {"skipped": 1}


@pytest.mark.each_database
def test_a_late_server_gives_back_nothing_that_another_has_claimed(store: Store, tmp_path: Path) -> None:
    task = stored.create(store)
    refresh = store.refreshes.create(T, "other@1", 0.02, "all").id
    work = shared(store)
    late, other = begun(work), begun(work)
    claimed = work.claim(late)
    assert claimed
    end_later(tmp_path, late, 0.0)
    assert work.claim(other) == claimed
    work.give_back(late, claimed)
    work.note(task.key, RefreshNote(refresh, other.id, "unchanged"))
    assert store.refreshes.get(T, refresh).tasks == {"unchanged": 1}


@pytest.mark.each_database
def test_the_refresh_tells_what_each_server_told(store: Store, tmp_path: Path) -> None:
    stored.create(store)
    refresh = store.refreshes.create(T, "other@1", 0.02, "all").id
    work = shared(store)
    leases = [begun(work) for _ in range(3)]
    told = [LeaseProgress(True, number, 1.5 * number) for number in range(3)]
    for lease, progress in zip(leases, told, strict=True):
        work.renew(lease, progress)
    end_later(tmp_path, leases[0], 0.0)
    assert store.refreshes.get(T, refresh).at_work == {leases[1].id: told[1], leases[2].id: told[2]}
    store.refreshes.change(T, refresh, "pause")
    assert store.refreshes.get(T, refresh).at_work == {}


@pytest.mark.sqlite("no other server can share it")
def test_a_server_that_shares_nothing_takes_over_at_once_what_one_before_it_claimed(store: Store) -> None:
    stored.create(store)
    store.refreshes.create(T, "other@1", 0.02, "all")
    before = begun(store.refresh_work)
    assert store.refresh_work.claim(before)
    after = begun(store.refresh_work)
    assert store.refresh_work.claim(after)
    assert store.refresh_work.claim(before) is None
