"""The store against a model of plain dictionaries, through whatever sequence of calls hypothesis thinks of."""

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.ids import new_id
from server.store.quota_records import Usage
from server.store.records import Change, NewExample, TaskKey
from server.store.store import Store
from tests.helpers.databases import database_url
from tests.helpers.stored import head_of, new_examples, open_empty

TENANTS = ("ours", "theirs")

labels = st.lists(st.sampled_from(["cat", "dog", "Löwe"]), min_size=1, max_size=4)
labels_or_none = st.lists(st.sampled_from(["cat", "dog", None]), min_size=1, max_size=4)
picks = st.integers(min_value=0, max_value=10**6)  # the n-th of what there is, counting around


@dataclass
class VersionModel:
    change: Change
    examples: list[NewExample]
    head: bytes


@dataclass
class TaskModel:
    tenant: str
    name: str
    active: int = 1
    last: int = 1
    versions: dict[int, VersionModel] = field(default_factory=dict)

    @property
    def support(self) -> list[NewExample]:
        return self.versions[self.active].examples

    def add(self, version: VersionModel) -> None:
        self.last += 1
        self.active = self.last
        self.versions[self.last] = version


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.url = database_url(Path(self.folder.name))
        self.store = open_empty(Path(self.folder.name))
        self.model: dict[str, TaskModel] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def pick(self, pick: int) -> tuple[str, TaskModel]:
        return list(self.model.items())[pick % len(self.model)]

    @rule(tenant=st.sampled_from(TENANTS), labels=labels)
    def create(self, tenant: str, labels: list[str]) -> None:
        task, examples, head = new_id("task"), new_examples(labels), head_of(labels)
        self.store.tasks.create(TaskKey(tenant, task), "new", examples, head)
        self.model[task] = TaskModel(tenant, "new", versions={1: VersionModel("created", examples, head.to_bytes())})

    @precondition(lambda self: self.model)
    @rule(pick=picks, labels=labels_or_none)
    def add(self, pick: int, labels: list[str | None]) -> None:
        task, model = self.pick(pick)
        added = new_examples(labels)
        self.change(task, model, "added", model.support + added, added, [])

    @precondition(lambda self: self.model)
    @rule(pick=picks, keep=st.lists(st.booleans(), min_size=8, max_size=8))
    def remove(self, pick: int, keep: list[bool]) -> None:
        task, model = self.pick(pick)
        removed = [example for example, stays in zip(model.support[1:], keep, strict=False) if not stays]
        kept = [example for example in model.support if example not in removed]
        if not any(example.label for example in kept):
            return
        self.change(task, model, "removed", kept, [], [example.id for example in removed])

    def change(
        self, task: str, model: TaskModel, change: Change, support: list[NewExample], added: list[NewExample], removed: list[str]
    ) -> None:
        head = head_of([example.label for example in support])
        changed = self.store.tasks.add_version(TaskKey(model.tenant, task), model.active, change, added, removed, head)
        model.add(VersionModel(change, support, head.to_bytes()))
        assert changed == self.store.tasks.get(TaskKey(model.tenant, task))

    @precondition(lambda self: self.model)
    @rule(pick=picks, version=picks, example=picks)
    def forget(self, pick: int, version: int, example: int) -> None:
        task, model = self.pick(pick)
        of_version = list(model.versions.values())[version % len(model.versions)].examples
        going = of_version[example % len(of_version)]
        kept = [other for other in model.support if other is not going]
        if not any(other.label for other in kept):
            return
        head = head_of([other.label for other in kept]) if len(kept) < len(model.support) else None
        gone = [number for number, each in model.versions.items() if going in each.examples]
        changed, removed = self.store.tasks.forget_example(TaskKey(model.tenant, task), model.active, going.id, head)
        if head is not None:
            model.add(VersionModel("removed", kept, head.to_bytes()))
        for number in gone:
            del model.versions[number]
        assert sorted(removed) == gone
        assert changed == self.store.tasks.get(TaskKey(model.tenant, task))

    @precondition(lambda self: self.model)
    @rule(pick=picks, version=picks)
    def activate(self, pick: int, version: int) -> None:
        task, model = self.pick(pick)
        model.active = list(model.versions)[version % len(model.versions)]
        assert self.store.tasks.change(TaskKey(model.tenant, task), version=model.active) == self.store.tasks.get(
            TaskKey(model.tenant, task)
        )

    @precondition(lambda self: self.model)
    @rule(pick=picks, name=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8))
    def rename(self, pick: int, name: str) -> None:
        task, model = self.pick(pick)
        model.name = name
        assert self.store.tasks.change(TaskKey(model.tenant, task), name=name) == self.store.tasks.get(
            TaskKey(model.tenant, task)
        )

    @precondition(lambda self: self.model)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        task, model = self.pick(pick)
        self.store.tasks.delete(TaskKey(model.tenant, task))
        del self.model[task]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.url)

    @rule(limit=st.integers(min_value=1, max_value=4))
    def pages_join_up(self, limit: int) -> None:
        for tenant in TENANTS:
            found, cursor = self.store.tasks.page(tenant, None, limit)
            while cursor is not None:
                page, cursor = self.store.tasks.page(tenant, cursor, limit)
                assert 1 <= len(page) <= limit
                found += page
            assert [task.id for task in found] == [t for t, model in reversed(self.model.items()) if model.tenant == tenant]
        for task, model in self.model.items():
            for negatives in (None, True, False):
                examples, cursor = self.store.examples.page(TaskKey(model.tenant, task), None, limit, negatives)
                while cursor is not None:
                    more, cursor = self.store.examples.page(TaskKey(model.tenant, task), cursor, limit, negatives)
                    assert 1 <= len(more) <= limit
                    examples += more
                wanted = [each for each in model.support if negatives in {None, each.label is None}]
                assert [(found.id, found.label) for found in examples] == [(each.id, each.label) for each in wanted]

    @invariant()
    def what_is_stored_is_counted(self) -> None:
        for tenant in TENANTS:
            tasks = [model for model in self.model.values() if model.tenant == tenant]
            versions = [version for model in tasks for version in model.versions.values()]
            sizes = {example.id: example.size for version in versions for example in version.examples}
            _, used = self.store.quotas.stored(tenant)
            assert used == Usage(len(tasks), len(sizes), sum(sizes.values()), captures=0)

    @invariant()
    def every_task_is_what_it_should_be(self) -> None:
        for tenant in TENANTS:
            assert list(self.store.active.ids(tenant)) == [
                t for t, model in reversed(self.model.items()) if model.tenant == tenant
            ]
        for task, model in self.model.items():
            found = self.store.tasks.get(TaskKey(model.tenant, task))
            assert (found.name, found.version.number) == (model.name, model.active)
            assert found.created_at <= found.version.created_at <= found.updated_at
            known = self.store.active.known(TaskKey(model.tenant, task))
            assert known is None or known.version == model.active
            assert self.store.active.get(TaskKey(model.tenant, task)).version == model.active
            support = self.store.examples.support(TaskKey(model.tenant, task), model.active)
            assert support.ids == tuple(example.id for example in model.support if example.label)
            assert support.negatives.ids == tuple(example.id for example in model.support if not example.label)
            history = self.store.tasks.versions(TaskKey(model.tenant, task))
            assert [version.number for version in history] == list(reversed(model.versions))
            for version, expected in zip(reversed(history), model.versions.values(), strict=True):
                assert (version.change, version.active) == (expected.change, version.number == model.active)
                counts = Counter(example.label for example in expected.examples if example.label)
                assert version.negatives == len(expected.examples) - counts.total()
                assert [(entry.label, entry.examples) for entry in version.classes] == sorted(counts.items())

    @precondition(lambda self: self.model)
    @rule(pick=picks, version=picks)
    def a_version_is_what_it_was(self, pick: int, version: int) -> None:
        task, model = self.pick(pick)
        number, expected = list(model.versions.items())[version % len(model.versions)]
        support = self.store.examples.support(TaskKey(model.tenant, task), number)
        known = [example for example in expected.examples if example.label]
        negatives = [example for example in expected.examples if not example.label]
        assert support.ids == tuple(example.id for example in known)
        assert support.labels == tuple(example.label for example in known)
        np.testing.assert_array_equal(support.embeddings, [example.embedding for example in known])
        assert support.negatives.ids == tuple(example.id for example in negatives)
        assert list(support.embedded) == [*support.ids, *support.negatives.ids]
        for example in negatives:
            np.testing.assert_array_equal(support.embedded[example.id], example.embedding)
        assert self.store.tasks.head(TaskKey(model.tenant, task), number).to_bytes() == expected.head
        for example in model.support:
            assert self.store.examples.image(TaskKey(model.tenant, task), example.id) == (example.image, example.media_type)


TestStoreModel = StoreMachine.TestCase
TestStoreModel.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)


@pytest.mark.postgresql
class TestStoreModelInPostgres(TestStoreModel):  # type: ignore[valid-type, misc]
    """The same in PostgreSQL."""

    settings = settings(TestStoreModel.settings, max_examples=5)
