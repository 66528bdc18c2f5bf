"""What processes share with the one that embeds: messages, slots, memory, and what each has admitted."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from prometheus_client import Gauge

from benchmarks.server_process import ROOT
from benchmarks.shared.setting import paper_bundle
from models.engine import MAX_BATCH
from server import shared_folder as shared_folder_module
from server.context import tenant_id
from server.engine.batcher import Batcher
from server.engine.shared.admission import Admission
from server.engine.shared.arena import Arena, shared_memory
from server.engine.shared.board import Board, column_of
from server.engine.shared.messages import (
    ASKED_BYTES,
    TOLD_BYTES,
    BrokenMessage,
    Cancel,
    Done,
    Embed,
    Leaving,
    Pieces,
    read_asked,
    read_told,
)
from server.engine.shared.slots import Slots
from server.errors import Overloaded
from server.keys import DEFAULT_TENANT
from server.metrics import Metrics
from server.settings import InvalidSettings, Settings, load_settings
from server.shared_folder import shared_folder
from tests.server.test_batcher import WatchedEngine, nothing_asked

NUMBERS = st.integers(0, 2**32 - 1)
TENANTS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
REQUESTS = st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True)
TRACES = st.none() | st.binary(min_size=25, max_size=25).filter(any)
ASKED = st.builds(Embed, NUMBERS, st.integers(1, 2**16 - 1), TENANTS, REQUESTS, st.booleans(), TRACES) | st.builds(
    Cancel, NUMBERS
)
TOLD = st.builds(Done, NUMBERS, st.booleans()) | st.just(Leaving())


@given(st.lists(ASKED), st.lists(TOLD), st.randoms(use_true_random=False))
def test_messages_arrive_as_they_were_sent_in_whatever_pieces(
    asked: list[Embed | Cancel], told: list[Done | Leaving], dice: random.Random
) -> None:
    def through(stream: bytes, size: int) -> list[bytes]:
        pieces, found = Pieces(size), list[bytes]()
        while stream:
            cut = dice.randint(1, min(len(stream), 3 * size))
            found += pieces.take(stream[:cut])
            stream = stream[cut:]
        return found

    assert [read_asked(each) for each in through(b"".join(each.packed() for each in asked), ASKED_BYTES)] == asked
    assert [read_told(each) for each in through(b"".join(each.packed() for each in told), TOLD_BYTES)] == told


@given(st.binary(min_size=ASKED_BYTES, max_size=ASKED_BYTES))
def test_bytes_that_are_no_message_are_refused_and_nothing_else_is_raised(noise: bytes) -> None:
    for read, size in ((read_asked, ASKED_BYTES), (read_told, TOLD_BYTES)):
        with suppress(BrokenMessage):
            read(noise[:size])


@pytest.mark.parametrize("count", [0, 1])
def test_a_request_of_no_images_is_no_message(count: int) -> None:
    packed = Embed(0, count, "a", "b").packed()
    if count:
        assert read_asked(packed) == Embed(0, 1, "a", "b")
    else:
        with pytest.raises(BrokenMessage):
            read_asked(packed)


class TakenSlots(RuleBasedStateMachine):
    """Slots against the set of those that are taken."""

    COUNT = 24

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(self.COUNT)
        self.taken: dict[int, int] = {}

    @property
    def free(self) -> set[int]:
        return set(range(self.COUNT)) - {at + i for at, count in self.taken.items() for i in range(count)}

    @rule(count=st.integers(1, COUNT))
    def take(self, count: int) -> None:
        free = self.free
        fits = any(set(range(at, at + count)) <= free for at in range(self.COUNT))
        first = self.slots.take(count)
        assert (first is not None) == fits
        if first is not None:
            assert set(range(first, first + count)) <= free  # inside, and nobody else's
            self.taken[first] = count

    @precondition(lambda self: self.taken)
    @rule(which=st.randoms(use_true_random=False))
    def give_back(self, which: random.Random) -> None:
        first = which.choice(sorted(self.taken))
        self.slots.give_back(first, self.taken.pop(first))

    @invariant()
    def counts(self) -> None:
        assert self.slots.free == len(self.free)


TestTakenSlots = TakenSlots.TestCase


def test_what_one_end_writes_the_other_reads_and_slots_do_not_overlap() -> None:
    manifest = paper_bundle().manifest
    here, descriptor = Arena.make(manifest, 3)
    there = Arena(descriptor, manifest, 3)
    for slot in range(3):
        here.pixels[slot] = 10 + slot
        there.embeddings[slot] = 20 + slot
    for slot in range(3):
        assert (there.pixels[slot] == 10 + slot).all()
        assert (here.embeddings[slot] == 20 + slot).all()


def test_memory_that_is_smaller_than_told_is_refused() -> None:
    manifest = paper_bundle().manifest
    with pytest.raises(ValueError, match="smaller"):
        Arena(shared_memory("small", 4096), manifest, 3)


def test_too_little_memory_is_an_error_and_not_the_end_of_the_process() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20));"
        "from server.engine.shared.arena import shared_memory, NoMemory\n"
        "shared_memory('fits', 2**19)\n"
        "try: shared_memory('does not', 2**22)\n"
        "except NoMemory as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.startswith("4 MB of memory cannot be shared: ")


def test_memory_is_there_at_once_and_has_no_name_that_could_be_left_behind() -> None:
    descriptor = shared_memory("nameless", 2**20)
    told = os.fstat(descriptor)
    assert told.st_nlink == 0
    assert 512 * told.st_blocks >= 2**20  # Its pages are there, so that no write can find them missing.
    os.close(descriptor)


def test_processes_share_files_in_memory_or_on_the_disk_where_memory_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with shared_folder(2) as folder:
        assert folder.parent == Path("/dev/shm")
    monkeypatch.setattr(shared_folder_module, "disk_usage", lambda _path: shutil._ntuple_diskusage(2**30, 2**30 - 4096, 4096))
    with shared_folder(2) as other:
        assert other.parent == Path(tempfile.gettempdir())
    assert not folder.exists()
    assert not other.exists()


@pytest.mark.parametrize(
    ("chosen", "shares"),
    [
        ({"engine": "onnx", "workers": 2}, False),
        ({"engine": "onnx-cuda", "workers": 2}, True),
        ({"engine": "onnx-cuda", "workers": 1}, False),
        ({"engine": "onnx-cuda"}, False),
        ({"engine": "onnx-cuda", "workers": 2, "fit_device": "cuda"}, False),
        ({"engine": "onnx-cuda", "workers": 2, "shared_engine": False}, False),
        ({"engine": "onnx", "workers": 2, "shared_engine": True}, True),
        ({"engine": "onnx", "workers": 1, "shared_engine": True}, False),
    ],
)
def test_engines_are_shared_where_they_run_on_a_gpu_unless_told_otherwise(chosen: dict[str, Any], shares: bool) -> None:
    assert Settings(**chosen).shares_engine == shares


def test_engines_that_are_shared_leave_no_embeddings_on_a_gpu_to_fit() -> None:
    with pytest.raises(InvalidSettings, match="shared-engine"):
        load_settings(["--shared-engine", "--fit-device", "cuda"])


CAPACITY, BATCH, LONGEST = 100, MAX_BATCH, 2.0


@pytest.fixture
def board() -> Board:
    return Board.at(Board.make(3))


def admission(board: Board, row: int) -> Admission:
    admitting = Admission(CAPACITY, BATCH, LONGEST, Gauge("images", "images", registry=None))
    admitting.move_to(board, row)
    return admitting


@contextmanager
def as_tenant(name: str) -> Iterator[None]:
    token = tenant_id.set(name)
    yield
    tenant_id.reset(token)


def test_each_process_counts_what_the_others_admitted(board: Board) -> None:
    one, other = admission(board, 0), admission(board, 1)
    with one.admit(60):
        assert (one.room(DEFAULT_TENANT), other.room(DEFAULT_TENANT)) == (40, 40)
        with other.admit(40):
            assert one.room(DEFAULT_TENANT) == 0
            with pytest.raises(Overloaded), one.admit(1):
                pass
    assert (one.room(DEFAULT_TENANT), other.room(DEFAULT_TENANT)) == (CAPACITY, CAPACITY)
    assert not board.rows.any()


def test_tenants_have_their_share_whichever_process_has_admitted_the_flood(board: Board) -> None:
    one, other = admission(board, 0), admission(board, 1)
    assert column_of("flood") != column_of("quiet")
    with as_tenant("flood"), one.admit(CAPACITY):
        assert other.room("flood") == 0
        assert other.room("quiet") == CAPACITY
        with as_tenant("quiet"), other.admit(30):
            assert one.room("quiet") == CAPACITY // 2 - 30
            assert other.room("flood") < 1


def test_images_that_would_wait_too_long_are_refused(board: Board) -> None:
    one, other = admission(board, 0), admission(board, 1)
    board.seconds_per_image = LONGEST / (2 * BATCH)
    with one.admit(BATCH), other.admit(BATCH):
        assert one.room(DEFAULT_TENANT) == CAPACITY - 2 * BATCH  # just as long as they may wait
        with other.admit(1):
            assert one.room(DEFAULT_TENANT) == 0


def test_a_new_board_is_told_what_is_under_way(board: Board) -> None:
    one = admission(board, 0)
    with one.admit(7):
        new = Board.at(Board.make(2))
        one.move_to(new, 1)
        other = admission(new, 0)
        assert other.room(DEFAULT_TENANT) == CAPACITY - 7
        one.move_to(None)
        assert one.room(DEFAULT_TENANT) == CAPACITY - 7
        one.move_to(new, 1)
    assert not new.rows.any()


@pytest.fixture(scope="module")
def alone() -> Iterator[Batcher]:
    batcher = Batcher(WatchedEngine(), nothing_asked, CAPACITY, "fake@1", Metrics(), LONGEST)
    yield batcher
    batcher.close()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.integers(1, 60)), max_size=12),
    st.sampled_from([0.0, LONGEST / (2 * MAX_BATCH), LONGEST / (3 * MAX_BATCH)]),
)
def test_processes_together_admit_what_the_batcher_of_one_would(
    alone: Batcher, asked: list[tuple[int, str, int]], pace: float
) -> None:
    alone._seconds_per_image = pace
    shared = Board.at(Board.make(3))
    shared.seconds_per_image = pace
    each = [admission(shared, row) for row in range(3)]
    with ExitStack() as opened:
        for process, tenant, images in asked:
            with as_tenant(tenant):
                assert each[process].room(tenant) == alone.room(tenant)
                if images <= alone.room(tenant):
                    opened.enter_context(alone.admit(images))
                    opened.enter_context(each[process].admit(images))
    assert not shared.rows.any()
