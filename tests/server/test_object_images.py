"""Images in an object store: what is where, who may see it, and what is left of it."""

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import LocalStore, MemoryStore
from sqlalchemy import select, update

from server.audit import Act, acting
from server.errors import ExampleNotFound, ImageNotKept, StorageFailed
from server.ids import copy_of
from server.journeys.adapt import create_task
from server.journeys.support_set import LabelledImage
from server.schemas.requests import TaskOptions
from server.service import Service
from server.settings import InvalidSettings, Settings, load_settings
from server.store.object_store import ObjectMissing, ObjectStore, reason
from server.store.records import ImageObject, NewExample, Task, TaskKey
from server.store.removal import remove_some_images
from server.store.store import Store, StoreError
from server.store.tables import audit, erasures, objects
from server.store.tasks import TaskStore
from tests.helpers.bundles import SMALL
from tests.helpers.databases import database_url
from tests.helpers.images import encode, noise
from tests.helpers.leftovers import found_in
from tests.helpers.object_stores import paths_in, place, put_outside
from tests.helpers.stored import create, head_of, new_examples, open_empty
from tests.server.test_capture_store import captures, ids

pytestmark = pytest.mark.each_database

KEY = TaskKey("default", "task_pets")
LABELS = ["cat", "dog"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the objects."""
    return tmp_path / "objects"


@pytest.fixture
def store(tmp_path: Path, folder: Path) -> Iterator[Store]:
    with closing(open_empty(tmp_path)) as opened:
        put_outside(opened, folder)
        yield opened


def open_at(tmp_path: Path, name: str | None = "objects") -> Store:
    return Store.open(database_url(tmp_path), images_url=name and f"file://{tmp_path}/{name}")


def made(store: Store, tenant: str = "default") -> tuple[Task, list[NewExample]]:
    """A task of two examples, and these as they were sent."""
    given = new_examples(LABELS, image_bytes=300)
    return store.tasks.create(TaskKey(tenant, KEY.id), "pets", given, head_of(LABELS)), given


def noted(store: Store) -> tuple[set[str], list[tuple[str, bool]]]:
    """The paths of images that are stored, and the paths that are to be erased, with whether that is certain."""
    with store._database.read() as connection:
        return set(connection.scalars(select(objects.c.path))), [
            (row.path, row.certain) for row in connection.execute(select(erasures.c.path, erasures.c.certain))
        ]


def make_late(store: Store) -> None:
    with store._database.write() as connection:
        connection.execute(update(erasures).values(due_at=datetime(2020, 1, 1, tzinfo=UTC)))


class TestWhere:
    def test_an_image_is_one_object_of_its_tenant_and_example(self, store: Store, folder: Path, tmp_path: Path) -> None:
        task, sent = made(store)
        assert paths_in(folder) == {f"default/{task.id}/{example.id}" for example in sent}
        assert [store.examples.image(KEY, example.id)[0] for example in sent] == [example.image for example in sent]
        assert found_in(tmp_path, [example.image for example in sent if isinstance(example.image, bytes)]) == 0

    def test_nobody_learns_that_another_has_the_same_image(self, store: Store, folder: Path) -> None:
        _, sent = made(store)
        head = head_of(LABELS)
        store.tasks.create(TaskKey("other", KEY.id), "pets", sent, head)
        contents = [(folder / path).read_bytes() for path in sorted(paths_in(folder))]
        assert len(set(contents)) == 4
        assert store.examples.image(TaskKey("other", KEY.id), sent[0].id)[0] == sent[0].image

    def test_images_that_were_in_the_database_stay_there_and_are_forgotten_there(self, tmp_path: Path, folder: Path) -> None:
        with closing(open_at(tmp_path, None)) as store:
            _, sent = made(store)
        with closing(open_at(tmp_path)) as store:
            (new,) = place(store.images, KEY, new_examples(["cat"]))
            store.tasks.add_version(KEY, 1, "added", [new], [], head_of(LABELS))
            assert [found.image for found in store.examples.images(KEY, [each.id for each in sent])] == [
                each.image for each in sent
            ]
            assert paths_in(folder) == {f"default/{KEY.id}/{new.id}"}
            store.tasks.forget_example(KEY, 2, sent[0].id, head_of(LABELS))
            store.images.erase()
            assert store.erase()
            assert found_in(tmp_path, [sent[0].image]) == 0  # type: ignore[list-item]

    def test_a_relabelled_example_and_the_first_one_share_their_image(self, store: Store, folder: Path) -> None:
        _, sent = made(store)
        first = store.examples.get(KEY, 1, sent[0].id)
        copy = replace(first, id=copy_of(first.id), label="dog")
        more = new_examples(["cat"])
        store.tasks.add_version(KEY, 1, "added", more, [], head_of(LABELS))
        store.tasks.add_version(KEY, 2, "relabelled", [copy], [first.id], head_of(LABELS))
        assert store.examples.image(KEY, copy.id)[0] == sent[0].image
        assert len(paths_in(folder)) == 3
        gone = store.tasks.forget_example(KEY, 3, copy.id, head_of(LABELS))[1]
        assert gone == [1, 2, 3]
        store.images.erase()
        assert paths_in(folder) == {f"default/{KEY.id}/{each.id}" for each in (sent[1], *more)}

    def test_a_copy_keeps_the_image_when_the_first_example_goes_by_itself(self, store: Store, folder: Path) -> None:
        """Forgetting another example takes the versions that had the image under its first label."""
        sent = new_examples(["cat", "cat", "dog"], image_bytes=300)
        store.tasks.create(KEY, "pets", sent, head_of(LABELS))
        copy = replace(store.examples.get(KEY, 1, sent[0].id), id=copy_of(sent[0].id), label="dog")
        store.tasks.add_version(KEY, 1, "relabelled", [copy], [sent[0].id], head_of(LABELS))
        store.tasks.add_version(KEY, 2, "removed", [], [sent[2].id], head_of(LABELS))
        assert store.tasks.forget_example(KEY, 3, sent[2].id, None)[1] == [1, 2]
        store.images.erase()
        assert paths_in(folder) == {f"default/{KEY.id}/{each.id}" for each in sent[:2]}
        assert store.examples.image(KEY, copy.id)[0] == sent[0].image

    def test_a_capture_that_becomes_an_example_keeps_its_object(self, store: Store, folder: Path) -> None:
        task, _ = made(store)
        kept, thrown = captures(task, 2)
        store.captures.add([kept, thrown], keep_images=True)
        (example,) = new_examples(["cat"])
        added = replace(example, image=None, size=len(kept.image))
        store.captures.resolve(KEY, 1, {kept.id: added}, [thrown.id], head_of(LABELS))
        store.images.erase()
        assert f"default/{KEY.id}/{kept.id}" in paths_in(folder)
        assert len(paths_in(folder)) == 3
        assert store.examples.image(KEY, example.id)[0] == kept.image
        store.tasks.forget_example(KEY, 2, example.id, head_of(LABELS))
        store.images.erase()
        assert len(paths_in(folder)) == 2

    def test_of_captures_that_are_left_out_nothing_is_put(
        self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task, (gone, stays) = made(store)
        store.quotas.change("default", "", {"captures": 0})
        with monkeypatch.context() as watched:
            watched.setattr(store.images, "place", lambda _: pytest.fail("put in vain"))
            assert store.captures.add(captures(task, 3), keep_images=True).over_quota == 3
        store.quotas.change("default", "", {"captures": None})
        put = store.images.place

        def forgotten_meanwhile(images: Mapping[Any, bytes]) -> Any:
            store.tasks.forget_example(KEY, 1, gone.id, head_of(["dog"]))
            return put(images)

        monkeypatch.setattr(store.images, "place", forgotten_meanwhile)
        assert store.captures.add(captures(task, 3), keep_images=True) == (set(), True, 0)
        store.images.erase()
        assert (paths_in(folder), noted(store)[1]) == ({f"default/{KEY.id}/{stays.id}"}, [])


def _refuse(*_: object) -> None:
    raise OSError("the store is down")


class TestInBetween:
    def test_what_was_given_up_cannot_be_stored(self, store: Store, folder: Path) -> None:
        sent = new_examples(LABELS)
        placed = place(store.images, KEY, sent)
        assert noted(store) == (set(), [(f"default/{KEY.id}/{each.id}", False) for each in sent])
        assert not store.images.expire(), "not yet"
        make_late(store)
        assert store.images.expire()
        with pytest.raises(StorageFailed, match="too long"):
            TaskStore.create(store.tasks, KEY, "pets", placed, head_of(LABELS))
        assert store.tasks.page("default", None, 10)[0] == []
        store.images.erase()
        assert (paths_in(folder), noted(store)) == (set(), (set(), []))

    def test_what_has_been_stored_is_not_given_up(self, store: Store, folder: Path) -> None:
        """As after a commit of which nobody heard."""
        sent = new_examples(LABELS)
        placed = place(store.images, KEY, sent)
        TaskStore.create(store.tasks, KEY, "pets", placed, head_of(LABELS))
        store.images.give_up({(KEY, each.id): each.image for each in placed if isinstance(each.image, ImageObject)})
        make_late(store)
        assert not store.images.expire()
        store.images.erase()
        assert len(paths_in(folder)) == 2
        assert store.examples.image(KEY, sent[0].id)[0] == sent[0].image

    def test_images_that_cannot_all_be_put_are_none(self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put = ObjectStore._put
        left = [3]

        def failing(self: ObjectStore, path: str, content: bytes) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError("no space")
            put(self, path, content)

        monkeypatch.setattr(ObjectStore, "_put", failing)
        with pytest.raises(StorageFailed, match="object store"):
            store.tasks.create(KEY, "pets", new_examples(["cat", "dog"] * 4), head_of(LABELS))
        assert noted(store)[0] == set()
        assert {certain for _, certain in noted(store)[1]} == {True}
        store.images.erase()
        assert (paths_in(folder), noted(store)[1]) == (set(), [])

    def test_what_the_store_did_not_erase_is_erased_when_it_is_asked_again(
        self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made(store)
        made(store, "other")
        store.tasks.delete(KEY)
        with monkeypatch.context() as down:
            down.setattr(LocalStore, "delete", _refuse)
            with pytest.raises(StorageFailed):
                store.images.erase("default")
            store.images.erase("other")
        assert len(paths_in(folder)) == 4
        assert noted(store)[0] == {path for path in paths_in(folder) if path.startswith("other")}
        store.images.erase("default")
        assert paths_in(folder) == noted(store)[0]

    def test_an_object_that_is_gone_already_does_not_stop_the_others(self, store: Store, folder: Path) -> None:
        _, sent = made(store)
        (folder / "default" / KEY.id / sent[0].id).unlink()
        store.tasks.delete(KEY)
        store.images.erase()
        assert (paths_in(folder), noted(store)[1]) == (set(), [])

    def test_what_is_put_before_a_change_is_no_row_of_the_audit(self, store: Store) -> None:
        def told() -> int:
            with store._database.read() as connection:
                return len(connection.execute(select(audit)).all())

        token = acting.set(Act(None, None, None, "change", (("task.create", None),)))
        try:
            placed = place(store.images, KEY, new_examples(LABELS))
            store.images.give_up({(KEY, each.id): each.image for each in placed if isinstance(each.image, ImageObject)})
            store.images.erase()
            assert told() == 0
            made(store)
            assert told() == 1
        finally:
            acting.reset(token)

    def test_images_that_leave_a_full_disk_leave_the_object_store(self, store: Store, folder: Path) -> None:
        _, sent = made(store)
        with store._database.write(removes=True) as connection:
            assert remove_some_images(connection, KEY, 300)
        store.images.erase()
        assert paths_in(folder) == {f"default/{KEY.id}/{sent[1].id}"}
        with pytest.raises(ImageNotKept):
            store.examples.image(KEY, sent[0].id)

    def test_a_task_that_cannot_be_stored_leaves_nothing_once_that_is_answered(
        self, tmp_path: Path, small_bundles: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = f"file://{tmp_path}/objects"
        service = Service(
            Settings(
                data_dir=tmp_path,
                database_url=database_url(tmp_path),
                images_url=url,
                bundles_dir=small_bundles,
                bundle=SMALL,
                engine="onnx",
            )
        )
        sent = [LabelledImage(label, encode(noise(32, 32, seed=i))) for i, label in enumerate(LABELS)]
        erased = threading.Event()
        erase = service.store.images.erase
        put: list[str] = []

        def refuse(*_: object) -> Task:
            put.extend(paths_in(tmp_path / "objects"))
            raise StorageFailed("the database failed")

        def erase_and_tell(*which: str) -> None:
            erase(*which)
            erased.set()

        monkeypatch.setattr(service.store.tasks, "create", refuse)
        monkeypatch.setattr(service.store.images, "erase", erase_and_tell)
        try:
            with pytest.raises(StorageFailed, match="the database failed"):
                asyncio.run(create_task(service, "default", None, TaskOptions(), sent, None))
            assert len(put) == 2
            assert erased.wait(10), "in the background, at once"
            assert (paths_in(tmp_path / "objects"), noted(service.store)) == (set(), (set(), []))
        finally:
            service.close()

    def test_an_object_in_a_folder_is_on_disk_before_it_counts(
        self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: set[int] = set()
        fsync = os.fsync

        def watched(descriptor: int) -> None:
            synced.add(os.fstat(descriptor).st_ino)
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", watched)
        placed = place(store.images, KEY, new_examples(["cat"]))
        assert isinstance(placed[0].image, ImageObject)
        file = folder / placed[0].image.path
        assert {each.stat().st_ino for each in (file, file.parent, file.parent.parent, folder)} <= synced


class TestReading:
    def test_an_object_that_another_program_changed_or_took_away(self, store: Store, folder: Path) -> None:
        _, sent = made(store)
        one, other = (folder / "default" / KEY.id / each.id for each in sent)
        whole = one.read_bytes()
        for content in (other.read_bytes(), whole[:-1], whole + b"\0", b""):
            one.write_bytes(content)
            with pytest.raises(StorageFailed, match="changed by another program"):
                store.examples.image(KEY, sent[0].id)
        one.unlink()
        with pytest.raises(StorageFailed, match="lacks this image"):
            store.examples.images(KEY, [each.id for each in sent])
        one.write_bytes(whole)
        assert store.examples.image(KEY, sent[0].id)[0] == sent[0].image

    def test_what_is_forgotten_while_it_is_read_is_not_found(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        _, sent = made(store)
        get = ObjectStore.get

        def late(self: ObjectStore, paths: Sequence[str]) -> list[bytes]:
            monkeypatch.undo()
            store.tasks.add_version(KEY, 1, "added", new_examples(["cat"]), [], head_of(LABELS))
            store.tasks.forget_example(KEY, 2, sent[0].id, head_of(LABELS))
            store.images.erase()
            return get(self, paths)

        monkeypatch.setattr(ObjectStore, "get", late)
        with pytest.raises(ExampleNotFound):
            store.examples.images(KEY, [sent[0].id])

    def test_images_that_are_not_kept_are_nowhere(self, store: Store, folder: Path) -> None:
        sent = [replace(example, image=None, sha256=None) for example in new_examples(LABELS)]
        task = store.tasks.create(KEY, "pets", sent, head_of(LABELS))
        store.captures.add(taken := captures(task), keep_images=False)
        with pytest.raises(ImageNotKept):
            store.examples.image(KEY, sent[0].id)
        with pytest.raises(ImageNotKept):
            store.captures.image(KEY, taken[0].id)
        assert paths_in(folder) == set()


class TestOpening:
    def test_a_database_knows_its_object_store(self, tmp_path: Path) -> None:
        for _ in range(2):  # An empty one may go elsewhere.
            open_at(tmp_path).close()
        open_at(tmp_path, "another").close()
        open_at(tmp_path, None).close()
        with closing(open_at(tmp_path)) as store:
            place(store.images, KEY, new_examples(LABELS))  # Also an image that is only expected binds the two.
            store.images.check()
        for name, told in (("third", "not the object store of this database"), (None, "name it with --images-url")):
            with pytest.raises(StoreError, match=told):
                open_at(tmp_path, name)
        with closing(open_at(tmp_path)) as store:
            make_late(store)
            store.images.expire()
            store.images.erase()
        open_at(tmp_path, None).close()

    def test_a_store_that_was_taken_away_is_not_ready(self, store: Store, folder: Path) -> None:
        store.images.check()
        for marker in folder.glob("headstart-*"):
            marker.unlink()
        with pytest.raises(StorageFailed, match="not the one that it was"):
            store.images.check()

    @pytest.mark.parametrize(
        "url",
        [
            "s3://KEY:SECRET@bucket/path",
            "https://SECRET@account.blob.core.windows.net/images",
            "s3://bucket/path?token=SECRET",
            "file://folder",
            "s3://",
            "images",
        ],
    )
    def test_what_is_no_url_or_has_a_secret_is_refused_without_telling_it(self, url: str) -> None:
        with pytest.raises(InvalidSettings, match="images-url: it must be") as refused:
            load_settings(["--images-url", url])
        assert "SECRET" not in str(refused.value)

    def test_errors_tell_no_secret(self) -> None:
        told = reason(ValueError("cannot GET https://user:SECRET@host/images/a?sig=SECRET&x=1: refused\nmore SECRET"))
        assert told == "cannot GET https://host/images/a refused"


class _Slow:
    """A backend that answers no call before as many are under way as `together` says."""

    def __init__(self, together: int) -> None:
        self._together = threading.Barrier(together)
        self._real = MemoryStore()
        self.under_way = 0

    def put(self, path: str, content: bytes, **_: object) -> None:
        self._together.wait(10)
        if "broken" in path:
            raise OSError("broken")
        self.under_way += 1
        threading.Event().wait(0.05)
        self._real.put(path, content)
        self.under_way -= 1

    def get(self, path: str) -> Any:
        self._together.wait(10)
        return self._real.get(path)


def test_the_images_of_a_request_are_put_and_read_at_once() -> None:
    with closing(ObjectStore(_Slow(25))) as store:  # type: ignore[arg-type]
        images = {f"images/{number}": bytes([number]) for number in range(25)}
        store.put(images)
        assert store.get(list(images)) == list(images.values())


def test_after_a_failure_nothing_is_under_way() -> None:
    """An object that is written after it was erased would stay."""
    slow = _Slow(5)
    with closing(ObjectStore(slow)) as store:  # type: ignore[arg-type]
        with pytest.raises(StorageFailed):
            store.put({"broken": b""} | {f"images/{number}": b"" for number in range(4)})
        assert slow.under_way == 0
        slow._together = threading.Barrier(1)
        with pytest.raises(ObjectMissing):
            store.get(["broken"])


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "forget", "take", "keep", "throw", "delete"]), st.integers(0, 7)), max_size=10
    )
)
@settings(max_examples=8, deadline=None)
def test_each_object_is_an_image_and_each_image_an_object(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    tmp_path = tmp_path_factory.mktemp("model")
    with closing(open_empty(tmp_path)) as store:
        put_outside(store, tmp_path / "objects")
        task, other, head = create(store), create(store, "other"), head_of(LABELS)
        kept: dict[str, bytes] = {}  # images that are known, by the ids of examples and captures
        for what, number in steps:
            support = store.examples.support(task.key, task.version.number).ids
            waiting = ids(store, task)
            if what == "delete":
                store.tasks.delete(task.key)
                task = create(store)
            elif what == "add":
                added = new_examples(["cat"])
                kept |= {each.id: each.image for each in added if isinstance(each.image, bytes)}
                task = store.tasks.add_version(task.key, task.version.number, "added", added, [], head)
            elif what in {"remove", "forget"} and len(support) > 2:
                gone = support[2 + number % (len(support) - 2)]  # one of the cats that were added
                if what == "remove":
                    task = store.tasks.add_version(task.key, task.version.number, "removed", [], [gone], head)
                else:
                    task = store.tasks.forget_example(task.key, task.version.number, gone, head)[0]
            elif what == "take":
                taken = captures(task, 1 + number % 3)
                kept |= {each.id: each.image for each in taken}
                store.captures.add(taken, keep_images=True)
            elif what == "throw" and waiting:
                store.captures.resolve(task.key, task.version.number, {}, waiting[: 1 + number % 2], None)
            elif what == "keep" and waiting:
                (example,) = new_examples(["cat"])
                kept[example.id] = kept[waiting[-1]]
                named = {waiting[-1]: replace(example, image=None)}
                task = store.captures.resolve(task.key, task.version.number, named, [], head)
            store.images.erase()
            assert paths_in(tmp_path / "objects") == noted(store)[0]
            assert noted(store)[1] == []
        support = store.examples.support(task.key, task.version.number).ids
        for found in store.examples.images(task.key, [id_ for id_ in support if id_ in kept]):
            assert found.image == kept[found.id]
        for id_ in ids(store, task):
            assert store.captures.image(task.key, id_)[0] == kept[id_]
        assert len(store.examples.images(other.key, store.examples.support(other.key, 1).ids)) == 2
