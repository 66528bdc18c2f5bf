import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, delete, event, func, insert, select, update
from sqlalchemy.exc import ProgrammingError

from models.heads.head import BackboneMismatch, BackboneRef, Float32
from models.labels import Label
from server.changes import Changes
from server.errors import (
    BackboneUnavailable,
    ExampleNotFound,
    ImageNotKept,
    InvalidRequest,
    StorageFailed,
    TaskNotFound,
    VersionNotFound,
)
from server.ids import copy_of, new_id
from server.store.active_versions import ActiveVersions
from server.store.records import Active, Asked, ClassCount, Replay, ReplayExists, Task, TaskKey, VersionConflict
from server.store.store import Store
from server.store.tables import embeddings, replays, tasks, versions
from tests.helpers.databases import database_url, statements_in
from tests.helpers.stored import BACKBONE, add, create, head_of, new_examples, open_empty

pytestmark = pytest.mark.each_database

T = "default"
OTHER = BackboneRef("other@1", "cd" * 32)

# Every call that names a task and, where it needs them, the version 1 and an example of it.
CALLS: dict[str, Callable[[Store, str, str, str], object]] = {
    "task": lambda store, tenant, task, _: store.tasks.get(TaskKey(tenant, task)),
    "active": lambda store, tenant, task, _: store.active.get(TaskKey(tenant, task)),
    "versions": lambda store, tenant, task, _: store.tasks.versions(TaskKey(tenant, task)),
    "head": lambda store, tenant, task, _: store.tasks.head(TaskKey(tenant, task), 1),
    "support": lambda store, tenant, task, _: store.examples.support(TaskKey(tenant, task), 1),
    "examples": lambda store, tenant, task, _: store.examples.page(TaskKey(tenant, task), None, 10),
    "image": lambda store, tenant, task, example: store.examples.image(TaskKey(tenant, task), example),
    "add": lambda store, tenant, task, _: store.tasks.add_version(
        TaskKey(tenant, task), 1, "added", new_examples(["cat"]), [], head_of(["cat", "dog"])
    ),
    "remove": lambda store, tenant, task, example: store.tasks.add_version(
        TaskKey(tenant, task), 1, "removed", [], [example], head_of(["dog"])
    ),
    "activate": lambda store, tenant, task, _: store.tasks.change(TaskKey(tenant, task), version=1),
    "rename": lambda store, tenant, task, _: store.tasks.change(TaskKey(tenant, task), name="mine now"),
    "embedded": lambda store, tenant, task, _: store.examples.embedded(TaskKey(tenant, task), 1, BACKBONE.sha256),
    "images": lambda store, tenant, task, example: store.examples.images(TaskKey(tenant, task), [example]),
    "refresh": lambda store, tenant, task, _: store.tasks.add_refreshed(
        TaskKey(tenant, task), 1, embedded(ids_of(store, task)), head_of(["cat", "dog"], OTHER)
    ),
    "forget": lambda store, tenant, task, example: store.tasks.forget_example(
        TaskKey(tenant, task), 1, example, head_of(["dog"])
    ),
    "delete": lambda store, tenant, task, _: store.tasks.delete(TaskKey(tenant, task)),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_empty(tmp_path)) as opened:
        yield opened


def embedded(ids: Sequence[str]) -> dict[str, Float32]:
    """Embeddings by another backbone, of another width than the first one's."""
    return {id_: np.full(6, position, np.float32) for position, id_ in enumerate(ids)}


def ids_of(store: Store, task: str) -> tuple[str, ...]:
    """Of the first version's examples."""
    return store.examples.support(TaskKey(T, task), 1).ids


def asked(key: str = "key", said: str = "{}") -> Asked:
    return Asked(key, "f" * 64, said)


def replay_of(task: Task, given: Asked) -> Replay:
    return Replay(given, task.id, task.version.number, task.name, None, None)


def create_once(store: Store, tenant: str, given: Asked) -> Task:
    labels = ["cat", "dog"]
    return store.tasks.create(TaskKey(tenant, new_id("task")), "pets", new_examples(labels), head_of(labels), given)


def age(data_dir: Path, by: timedelta) -> None:
    """Makes every answer in a closed store older."""
    with statements_in(data_dir) as connection:
        connection.execute(update(replays).values(created_at=datetime.now(UTC) - by))


def test_a_task_comes_back_as_it_was_created(store: Store) -> None:
    labels = ["dog", "cat", "dog", "Katze 🐈"]
    examples, head = new_examples(labels), head_of(labels)
    before = datetime.now(UTC)
    task = store.tasks.create(TaskKey(T, "task_1"), "pets", examples, head)

    assert store.tasks.get(TaskKey(T, "task_1")) == task
    assert before <= task.created_at == task.updated_at <= datetime.now(UTC)
    assert task.created_at.tzinfo is UTC
    assert task.version.classes == (ClassCount("Katze 🐈", 1), ClassCount("cat", 1), ClassCount("dog", 2))
    assert task.version.options.alike(head.options)
    assert store.active.get(TaskKey(T, "task_1")) == Active(1, BACKBONE, 3)
    assert store.tasks.head(TaskKey(T, "task_1"), 1).to_bytes() == head.to_bytes()
    assert store.examples.image(TaskKey(T, "task_1"), examples[3].id) == (examples[3].image, "image/png")

    support = store.examples.support(TaskKey(T, "task_1"), 1)
    assert support.ids == tuple(example.id for example in examples)
    assert support.labels == tuple(labels)
    assert support.backbone_sha256 == BACKBONE.sha256
    assert support.embeddings.dtype == np.float32
    assert support.embeddings.flags.writeable
    np.testing.assert_array_equal(support.embeddings, [example.embedding for example in examples])

    infos, cursor = store.examples.page(TaskKey(T, "task_1"), None, 4)
    assert cursor is None
    assert [(i.id, i.label, i.media_type, i.size, i.sha256, i.created_at) for i in infos] == [
        (e.id, e.label, e.media_type, e.size, e.sha256, task.created_at) for e in examples
    ]


def test_servers_of_the_release_before_can_read_a_task_without_class_names(tmp_path: Path, store: Store) -> None:
    task = create(store)
    with statements_in(tmp_path) as connection:
        stored = connection.execute(select(versions.c.options).where(versions.c.task == task.id)).scalar_one()
    assert stored.keys() == {"solver", "C", "temperature", "centre", "asked"}, "it refuses any other field"


@pytest.mark.parametrize("call", CALLS)
def test_a_task_of_another_tenant_does_not_exist(store: Store, call: str) -> None:
    task = create(store)
    example = store.examples.support(task.key, 1).ids[0]
    with pytest.raises(TaskNotFound):
        CALLS[call](store, "other", task.id, example)
    assert store.tasks.page("other", None, 10) == ([], None)
    assert store.active.ids("other") == []
    assert not store.active.get_many("other", [task.id])
    assert not store.tasks.heads("other", [(task.id, 1)])
    assert store.tasks.get(task.key) == task
    CALLS[call](store, T, task.id, example)


def test_tenants_may_use_the_same_ids_and_keys(store: Store) -> None:
    ids = [new_id("example"), new_id("example")]
    heads = {tenant: head_of(["cat", "dog"]) for tenant in ("a", "b")}
    examples = {
        tenant: [replace(example, id=chosen) for example, chosen in zip(new_examples(["cat", "dog"]), ids, strict=True)]
        for tenant in heads
    }
    for tenant, head in heads.items():
        store.tasks.create(TaskKey(tenant, "task_1"), tenant, examples[tenant], head, asked(said=tenant))
    store.tasks.change(TaskKey("a", "task_1"), name="other")
    for tenant, name in (("a", "other"), ("b", "b")):
        assert store.tasks.get(TaskKey(tenant, "task_1")).name == name
        assert store.tasks.head(TaskKey(tenant, "task_1"), 1).to_bytes() == heads[tenant].to_bytes()
        assert store.examples.image(TaskKey(tenant, "task_1"), ids[0])[0] == examples[tenant][0].image
        assert store.examples.support(TaskKey(tenant, "task_1"), 1).embeddings.tolist() == [
            e.embedding.tolist() for e in examples[tenant]
        ]
        assert [info.sha256 for info in store.examples.page(TaskKey(tenant, "task_1"), None, 10)[0]] == [
            e.sha256 for e in examples[tenant]
        ]
        assert store.replay(tenant, "key") == Replay(asked(said=tenant), "task_1", 1, tenant, None, None)
    for parent in (1, 2):
        store.tasks.add_version(TaskKey("a", "task_1"), parent, "added", new_examples(["cat"]), [], head_of(["cat", "dog"]))
    second = store.tasks.add_version(TaskKey("b", "task_1"), 1, "added", new_examples(["cat"]), [], head_of(["cat", "dog"]))
    assert second.version.number == 2
    store.tasks.delete(TaskKey("a", "task_1"))
    assert store.examples.image(TaskKey("b", "task_1"), ids[0])[0] == examples["b"][0].image


def test_a_version_made_from_an_old_one_is_refused(store: Store) -> None:
    task = create(store)
    newer = add(store, task, "cat")
    with pytest.raises(VersionConflict):
        add(store, task, "cat", parent=1)
    assert store.tasks.versions(task.key) == [newer.version, *store.tasks.versions(task.key)[1:]]
    assert len(store.tasks.versions(task.key)) == 2


def test_a_version_made_after_going_back_gets_a_number_of_its_own(store: Store) -> None:
    task = create(store)
    add(store, task, "bird")
    store.tasks.change(task.key, version=1)
    third = add(store, task, "fish")
    assert third.version.number == 3
    assert [entry.label for entry in third.version.classes] == ["cat", "dog", "fish"]
    assert [(v.number, v.active) for v in store.tasks.versions(task.key)] == [(3, True), (2, False), (1, False)]


def test_only_examples_of_the_active_version_are_shown(store: Store) -> None:
    task = create(store, labels=["cat", "cat", "dog"])
    gone = store.examples.support(task.key, 1).ids[0]
    store.tasks.add_version(task.key, 1, "removed", [], [gone], head_of(["cat", "dog"]))
    assert gone not in {example.id for example in store.examples.page(task.key, None, 10)[0]}
    with pytest.raises(ExampleNotFound):
        store.examples.image(task.key, gone)
    with pytest.raises(ExampleNotFound):
        store.tasks.add_version(task.key, 2, "removed", [], [gone], head_of(["cat", "dog"]))
    store.tasks.change(task.key, version=1)
    assert len(store.examples.image(task.key, gone)[0]) == 50


def test_a_cursor_stays_good_when_its_example_goes(store: Store) -> None:
    task = create(store, labels=["cat"] * 4 + ["dog"])
    ids = store.examples.support(task.key, 1).ids
    _, cursor = store.examples.page(task.key, None, 2)
    store.tasks.add_version(task.key, 1, "removed", [], [ids[1]], head_of(["cat", "dog"]))
    page, end = store.examples.page(task.key, cursor, 3)
    assert [example.id for example in page] == list(ids[2:])
    assert end is None


def test_forgetting_an_example_takes_the_versions_that_have_it(store: Store) -> None:
    task = create(store, labels=["cat", "cat", "dog"])
    going = store.examples.support(task.key, 1).ids[0]
    store.tasks.add_version(task.key, 1, "removed", [], [going], head_of(["cat", "dog"]))
    store.tasks.change(task.key, version=1)
    with pytest.raises(VersionConflict):
        store.tasks.forget_example(task.key, 2, going, None)
    with pytest.raises(ValueError, match="another one is needed"):
        store.tasks.forget_example(task.key, 1, going, None)
    assert len(store.tasks.versions(task.key)) == 2
    changed, gone = store.tasks.forget_example(task.key, 1, going, head_of(["cat", "dog"]))
    assert (changed.version.number, gone) == (3, [1])
    assert [version.number for version in store.tasks.versions(task.key)] == [3, 2]
    assert store.active.known(task.key) is None
    with pytest.raises(ExampleNotFound):
        store.tasks.forget_example(task.key, 3, going, None)
    last = add(store, changed, "bird")
    store.tasks.change(task.key, version=2)
    _, gone = store.tasks.forget_example(task.key, 2, store.examples.support(task.key, last.version.number).ids[-1], None)
    assert gone == [4]
    assert add(store, store.tasks.get(task.key), "bird").version.number == 5


def test_a_refreshed_version_has_embeddings_of_its_own(store: Store) -> None:
    task = create(store, labels=["cat", "cat", "dog"])
    before = store.examples.support(task.key, 1)
    head = head_of(["cat", "dog"], OTHER)
    refreshed = store.tasks.add_refreshed(task.key, 1, embedded(before.ids), head)
    assert (refreshed.version.number, refreshed.version.change, refreshed.version.backbone) == (2, "refreshed", OTHER)
    assert refreshed.version.classes == task.version.classes
    assert store.active.get(task.key) == Active(2, OTHER, 2)
    assert store.tasks.head(task.key, 2).to_bytes() == head.to_bytes()
    after = store.examples.support(task.key, 2)
    assert (after.ids, after.labels, after.backbone_sha256) == (before.ids, before.labels, OTHER.sha256)
    assert after.embeddings.tolist() == [[position] * 6 for position in range(3)]
    assert store.examples.support(task.key, 1).embeddings.tolist() == before.embeddings.tolist()

    with pytest.raises(VersionConflict):
        store.tasks.add_refreshed(task.key, 1, embedded(before.ids), head)
    store.tasks.change(task.key, version=1)
    other_values = {id_: -vector for id_, vector in embedded(before.ids).items()}
    store.tasks.add_refreshed(task.key, 1, other_values, head)
    assert store.examples.support(task.key, 3).embeddings.tolist() == after.embeddings.tolist()


@pytest.mark.parametrize("ids", [slice(0, 2), slice(0, 4)])
def test_a_refresh_of_other_examples_changes_nothing(store: Store, ids: slice) -> None:
    task = create(store, labels=["cat", "cat", "dog"])
    given = [*store.examples.support(task.key, 1).ids, "example_of_nobody"]
    with pytest.raises(ValueError, match="not those of the support set"):
        store.tasks.add_refreshed(task.key, 1, embedded(given[ids]), head_of(["cat", "dog"], OTHER))
    assert store.tasks.get(task.key) == task


def test_a_support_set_is_read_as_far_as_a_backbone_has_embedded_it(store: Store) -> None:
    task = create(store, labels=["cat", "cat", "dog"])
    support = store.examples.support(task.key, 1)
    found = store.examples.embedded(task.key, 1, OTHER.sha256)
    assert (found.ids, found.labels, found.embeddings, found.lacking) == (support.ids, support.labels, {}, list(support.ids))
    store.tasks.add_refreshed(task.key, 1, embedded(support.ids), head_of(["cat", "dog"], OTHER))
    store.tasks.change(task.key, version=1)
    store.tasks.add_version(task.key, 1, "added", new_examples(["dog"]), [support.ids[0]], head_of(["cat", "dog"]))
    found = store.examples.embedded(task.key, 3, OTHER.sha256)
    assert found.lacking == [found.ids[2]]
    assert {id_: vector.tolist() for id_, vector in found.embeddings.items()} == {
        id_: vector.tolist() for id_, vector in embedded(support.ids).items() if id_ != support.ids[0]
    }
    with pytest.raises(VersionNotFound):
        store.examples.embedded(task.key, 4, OTHER.sha256)


def test_images_of_several_examples_are_read_at_once(store: Store) -> None:
    task = create(store, labels=["cat"] * 3 + ["dog"])
    ids = store.examples.support(task.key, 1).ids
    found = store.examples.images(task.key, [ids[3], ids[1]])
    assert [(example.id, example.image) for example in found] == [
        (id_, store.examples.image(task.key, id_)[0]) for id_ in (ids[1], ids[3])
    ]
    with pytest.raises(ExampleNotFound, match="example_of_nobody"):
        store.examples.images(task.key, [ids[0], "example_of_nobody"])
    without = [replace(example, image=None, sha256=None) for example in new_examples(["cat"])]
    store.tasks.add_version(task.key, 1, "added", without, [], head_of(["cat", "dog"]))
    with pytest.raises(ImageNotKept):
        store.examples.images(task.key, [ids[0], without[0].id])


def test_a_support_set_whose_embeddings_are_missing_says_so(tmp_path: Path) -> None:
    with closing(Store.open(database_url(tmp_path))) as store:
        task = create(store)
    with statements_in(tmp_path) as connection:
        connection.execute(
            delete(embeddings).where(embeddings.c.example == select(func.min(embeddings.c.example)).scalar_subquery())
        )
    with (
        closing(Store.open(database_url(tmp_path))) as store,
        pytest.raises(BackboneUnavailable, match="1 examples of version 1 have no embedding"),
    ):
        store.examples.support(task.key, 1)


@pytest.mark.parametrize("number", [0, 2, 2**31, 2**64])
def test_a_version_that_does_not_exist(store: Store, number: int) -> None:
    task = create(store)
    for call in (store.tasks.head, store.examples.support, lambda key, number: store.tasks.change(key, version=number)):
        with pytest.raises(VersionNotFound):
            call(task.key, number)


def test_a_broken_cursor_is_an_invalid_request(store: Store) -> None:
    task = create(store)
    with pytest.raises(InvalidRequest):
        store.tasks.page(T, "nonsense!", 10)
    with pytest.raises(InvalidRequest):
        store.examples.page(task.key, "nonsense!", 10)


def test_a_head_of_other_labels_or_another_backbone_is_refused(store: Store) -> None:
    task = create(store)
    with pytest.raises(ValueError, match="labels"):
        store.tasks.create(TaskKey(T, new_id("task")), "pets", new_examples(["cat", "dog"]), head_of(["cat", "cow"]))
    other = head_of(["cat", "dog"], BackboneRef(BACKBONE.bundle, "cd" * 32))
    with pytest.raises(BackboneMismatch):
        store.tasks.add_version(task.key, 1, "added", new_examples(["cat"]), [], other)
    assert store.tasks.page(T, None, 10) == ([task], None)


def test_an_answer_is_kept_with_what_it_answers(store: Store) -> None:
    assert store.replay(T, "key") is None
    labels = ["cat", "dog"]
    task = store.tasks.create(TaskKey(T, "task_1"), "pets", new_examples(labels), head_of(labels), asked(said="why"))
    assert store.replay(T, "key") == replay_of(task, asked(said="why"))
    assert store.replay("other", "key") is None


def test_what_was_made_is_found_again_whatever_came_of_the_task_since(store: Store) -> None:
    task = create_once(store, T, asked())
    added = store.tasks.add_version(task.key, 1, "added", new_examples(["cat"]), [], head_of(["cat", "dog"]), asked("another"))
    store.tasks.change(task.key, name="renamed", version=1)
    for made, key in ((task, "key"), (added, "another")):
        found = store.replay(T, key)
        assert found == replay_of(made, asked(key))
        assert found.version
        assert found.name
        again = replace(store.tasks.made(task.key, found.version), name=found.name)
        assert again == replace(made, version=replace(made.version, active=again.version.active))
    with pytest.raises(VersionNotFound):
        store.tasks.made(task.key, 3)
    with pytest.raises(TaskNotFound):
        store.tasks.made(TaskKey("other", task.id), 1)


def test_the_second_of_two_requests_with_one_key_leaves_nothing(store: Store) -> None:
    task = create_once(store, T, asked(said="first"))
    with pytest.raises(ReplayExists):
        create_once(store, T, asked(said="second"))
    with pytest.raises(ReplayExists):
        store.tasks.add_version(task.key, 1, "added", new_examples(["cat"]), [], head_of(["cat", "dog"]), asked(said="third"))
    assert store.tasks.page(T, None, 10) == ([task], None)
    assert len(store.tasks.versions(task.key)) == 1
    assert store.replay(T, "key") == replay_of(task, asked(said="first"))


def test_an_answer_that_cannot_be_kept_undoes_the_change(store: Store) -> None:
    unfit = Asked("key", "f" * 64, object())  # type: ignore[arg-type]
    with pytest.raises(ProgrammingError):
        store.tasks.create(TaskKey(T, "task_1"), "pets", new_examples(["cat"]), head_of(["cat"]), unfit)
    assert store.tasks.page(T, None, 10) == ([], None)


def test_the_key_of_an_answer_outlives_its_task_and_not_its_day(tmp_path: Path) -> None:
    with closing(Store.open(database_url(tmp_path))) as store:
        task = create_once(store, T, asked())
        assert store.replay(T, "key") == replay_of(task, asked())
        store.tasks.delete(task.key)
    age(tmp_path, timedelta(hours=23, minutes=59))
    with closing(Store.open(database_url(tmp_path))) as store:
        left = store.replay(T, "key")
        assert left == replace(replay_of(task, Asked("key", "", "")), name=None)
        assert left.forgotten
    age(tmp_path, timedelta(hours=24))
    with closing(Store.open(database_url(tmp_path))) as store:
        assert store.replay(T, "key") is None
        create_once(store, T, asked("another"))
    with statements_in(tmp_path) as connection:
        assert connection.execute(select(replays.c.key)).all() == [("another",)]


def test_a_read_that_a_change_overtook_is_not_kept() -> None:
    known = ActiveVersions(Changes())
    before = known.stamp(T, "task_1")
    known.forget(TaskKey(T, "task_1"))
    known.keep(TaskKey(T, "task_1"), Active(1, BACKBONE, 2), before)
    assert known.known(TaskKey(T, "task_1")) is None
    known.keep(TaskKey(T, "task_1"), Active(2, BACKBONE, 2), known.stamp(T, "task_1"))
    assert known.known(TaskKey(T, "task_1")) == Active(2, BACKBONE, 2)
    assert known.known(TaskKey("another", "task_1")) is None


def test_what_is_known_in_memory_is_never_from_before_an_acknowledged_change(store: Store) -> None:
    created = create(store)
    add(store, created, "cat")
    task, done = created.id, threading.Event()

    def read() -> None:
        while not done.is_set():
            store.active.get(TaskKey(T, task))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for turn in range(150):
            version = 1 + turn % 2
            store.tasks.change(TaskKey(T, task), version=version)
            for _ in range(20):
                known = store.active.known(TaskKey(T, task))
                assert known is None or known.version == version
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert store.active.get(TaskKey(T, task)) == store.active.known(TaskKey(T, task)) == Active(version, BACKBONE, 2)
    store.tasks.delete(TaskKey(T, task))
    assert store.active.known(TaskKey(T, task)) is None


def test_many_tasks_are_read_in_a_few_statements(store: Store, tmp_path: Path) -> None:
    task = create(store)
    newer = add(store, task, "bird")
    copies = [f"{task.id[:-4]}{number:04d}" for number in range(999)]
    copy_task(tmp_path, task.id, copies)
    ids, statements = [task.id, *copies], 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    event.listen(Engine, "before_cursor_execute", count)
    try:
        found = store.active.get_many(T, [*ids, "task_nothing"])
        heads = store.tasks.heads(T, [(id_, 1) for id_ in ids] + [(task.id, 2), (task.id, 3), ("task_nothing", 1)])
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    assert statements <= 10  # a BEGIN for each of the two among them
    assert found == dict.fromkeys(ids, Active(2, BACKBONE, 3))
    assert heads.keys() == {*((id_, 1) for id_ in ids), (task.id, 2)}
    assert heads[copies[-1], 1].to_bytes() == store.tasks.head(task.key, 1).to_bytes()
    assert heads[task.id, 2].labels == tuple(entry.label for entry in newer.version.classes)
    assert store.active.ids(T) == sorted(ids, reverse=True)
    assert store.active.known(TaskKey(T, copies[0])) == Active(2, BACKBONE, 3)


def copy_task(data_dir: Path, task: str, ids: Sequence[str]) -> None:
    """Makes older tasks of these ids, the oldest first, with the versions of an open store's task."""
    with statements_in(data_dir) as connection:
        original = connection.execute(select(tasks).where(tasks.c.id == task)).mappings().one()
        connection.execute(insert(tasks), [{**original, "id": id_, "ordinal": place - len(ids)} for place, id_ in enumerate(ids)])
        for row in connection.execute(select(versions).where(versions.c.task == task)).mappings().all():
            connection.execute(insert(versions), [{**row, "task": id_} for id_ in ids])


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    store = Store.open(database_url(tmp_path))
    store.check()
    store.close()
    with pytest.raises(StorageFailed):
        store.check()
    with pytest.raises(StorageFailed):
        create(store)


def test_labels_of_images_that_may_have_several(store: Store) -> None:
    sets: list[Label] = [("cat", "outdoors"), (), ("cat",)]
    given = new_examples(sets)
    task = store.tasks.create(TaskKey(T, "several"), "scenes", given, head_of(sets), labels="multiple")
    assert task == store.tasks.get(task.key)
    assert task.version.classes == (ClassCount("cat", 2), ClassCount("outdoors", 1))
    assert (task.labels, task.version.negatives) == ("multiple", 1)
    assert store.active.get(task.key).labels == "multiple"
    assert store.active.get(task.key).ways == 2
    support = store.examples.support(task.key, 1)
    assert support.labels == tuple(sets)
    assert not support.negatives.ids
    assert [example.label for example in store.examples.page(task.key, None, 10)[0]] == sets
    assert [example.label for example in store.examples.page(task.key, None, 10, negatives=True)[0]] == [()]
    assert store.examples.get(task.key, 1, given[0].id).label == sets[0]

    relabelled = replace(given[0], id=copy_of(given[0].id), label=("cat", "night"))
    after = [relabelled.label, *sets[1:]]
    changed = store.tasks.add_version(task.key, 1, "relabelled", [relabelled], [given[0].id], head_of(after))
    assert changed.version.classes == (ClassCount("cat", 2), ClassCount("night", 1))
    assert changed.labels == "multiple"
    assert store.examples.support(task.key, 2).labels == tuple(after)
    assert store.examples.support(task.key, 1).labels == tuple(sets)
