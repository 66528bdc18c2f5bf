"""Tests of the store, of forgetting and of captures, once more with all images in an object store.

There the images are not encrypted. So the tests that look for bytes find them in its files, until they are erased.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from server.store.store import Store
from tests.helpers.object_stores import leave_plain, paths_in, put_outside
from tests.helpers.servers import ServerProcess
from tests.helpers.stored import open_empty
from tests.server import test_capture_store, test_captures, test_forgetting
from tests.server.test_archives_out import test_labels_that_no_folder_can_have_come_back, test_what_is_in_it
from tests.server.test_capture_store import test_tenants_may_use_the_same_ids
from tests.server.test_store import (
    test_a_task_of_another_tenant_does_not_exist,
    test_a_version_made_from_an_old_one_is_refused,
    test_an_answer_that_cannot_be_kept_undoes_the_change,
    test_forgetting_an_example_takes_the_versions_that_have_it,
    test_images_of_several_examples_are_read_at_once,
    test_labels_of_images_that_may_have_several,
    test_only_examples_of_the_active_version_are_shown,
    test_tenants_may_use_the_same_ids_and_keys,
    test_the_second_of_two_requests_with_one_key_leaves_nothing,
)

__all__ = [
    "test_a_task_of_another_tenant_does_not_exist",
    "test_a_version_made_from_an_old_one_is_refused",
    "test_an_answer_that_cannot_be_kept_undoes_the_change",
    "test_forgetting_an_example_takes_the_versions_that_have_it",
    "test_images_of_several_examples_are_read_at_once",
    "test_labels_of_images_that_may_have_several",
    "test_labels_that_no_folder_can_have_come_back",
    "test_only_examples_of_the_active_version_are_shown",
    "test_tenants_may_use_the_same_ids",
    "test_tenants_may_use_the_same_ids_and_keys",
    "test_the_second_of_two_requests_with_one_key_leaves_nothing",
    "test_what_is_in_it",
]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr("server.store.images._encrypted", lambda _at, image: image)
    monkeypatch.setattr("server.store.images._decrypted", lambda _at, content: content)
    with closing(open_empty(tmp_path)) as opened:
        put_outside(opened, tmp_path / "objects")
        erase = opened.erase

        def erase_both() -> bool:
            opened.images.erase()
            return erase()

        monkeypatch.setattr(opened, "erase", erase_both)
        yield opened


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outside") / "data"


@pytest.fixture(scope="module")
def server(data_dir: Path, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    data_dir.mkdir()
    flags = ("--images-url", f"file://{data_dir}/objects", *small_flags)
    with ServerProcess(data_dir, *flags, prepare=leave_plain) as process:
        yield process
        assert process.stop() == 0, process.log()


@pytest.fixture(scope="module")
def api(server: ServerProcess, data_dir: Path) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client
        assert paths_in(data_dir / "objects"), "the tests below were about images in the object store"


class TestCaptureStore(test_capture_store.TestStore):
    pass


class TestFiles(test_forgetting.TestFiles):
    # Those that start a server of their own, whose images are in its database.
    test_what_a_reader_holds_back_is_told_and_erased_when_asked_again = None  # type: ignore[assignment]
    test_a_server_that_was_killed_before_it_erased_does_so_when_it_starts = None  # type: ignore[assignment]
    test_no_file_holds_what_the_file_of_a_forgotten_example_was_called = None  # type: ignore[assignment]
    test_kept_answers_hold_nothing_of_it = None  # type: ignore[assignment]


class TestVersions(test_forgetting.TestVersions):
    test_heads_of_removed_versions_leave_memory = None  # type: ignore[assignment]
    test_predictions_go_on_while_versions_come_and_go = None  # type: ignore[assignment]
    test_a_version_forgotten_between_two_look_ups_is_answered_by_the_next = None  # type: ignore[assignment]


class TestResolving(test_captures.TestResolving):
    test_a_retry_beside_a_first_try_whose_client_has_left_gets_its_answer = None  # type: ignore[assignment]
    test_what_is_no_decision_is_refused = None


class TestCapturesForgotten(test_captures.TestForgetting):
    pass
