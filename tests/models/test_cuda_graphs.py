"""Functions replayed as CUDA graphs: everything but the capture itself, which only a GPU can do."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from models import cuda_graphs
from models.cuda_graphs import Replayed
from tests.helpers.cuda import cuda  # noqa: F401 (a fixture)


class Doubling:
    """Two times the first tensor, and the sum of both. It counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, a: Tensor, b: Tensor) -> Sequence[Tensor]:
        self.calls += 1
        ones = torch.ones(a.shape[1:], dtype=a.dtype, device=a.device)
        return (a + a) * ones, a + b


def assert_right(replayed: Replayed, rows: int, seed: int = 0, width: int = 3) -> Sequence[Tensor]:
    a, b = torch.randn(2, rows, width, generator=torch.Generator().manual_seed(seed))
    doubled, total = replayed(a, b)
    torch.testing.assert_close(doubled, 2 * a)
    torch.testing.assert_close(total, a + b)
    return doubled, total


def test_tensors_of_the_cpu_are_handed_to_the_function() -> None:
    function = Doubling()
    replayed = Replayed(function)
    for seed in range(3):
        assert_right(replayed, 4, seed)
    assert function.calls == 3


@pytest.mark.usefixtures("cuda")
def test_a_shape_that_comes_again_is_captured_and_then_replayed() -> None:
    function = Doubling()
    replayed = Replayed(function)
    assert_right(replayed, 4)
    assert function.calls == 1
    assert_right(replayed, 4, seed=1)
    assert function.calls == 3  # to prepare the libraries, and to capture
    for seed in range(2, 5):
        assert_right(replayed, 4, seed)
    assert function.calls == 3


@pytest.mark.usefixtures("cuda")
def test_one_graph_serves_all_numbers_of_rows_up_to_its_power_of_two() -> None:
    function = Doubling()
    replayed = Replayed(function)
    for seed, rows in enumerate([8, 8, 5, 7, 6, 8]):
        assert_right(replayed, rows, seed)
    assert function.calls == 3
    assert_right(replayed, 4)
    assert function.calls == 4
    assert_right(replayed, 8, width=4)
    assert function.calls == 5


@pytest.mark.usefixtures("cuda")
def test_a_single_row_is_captured_as_two() -> None:
    shapes = []

    def note(a: Tensor, b: Tensor) -> Sequence[Tensor]:
        shapes.append(tuple(a.shape))
        return a + a, a + b

    replayed = Replayed(note)
    for seed in range(3):
        assert_right(replayed, 1, seed)
    assert shapes == [(1, 3), (2, 3), (2, 3)]


@pytest.mark.usefixtures("cuda")
def test_answers_are_the_callers_own() -> None:
    replayed = Replayed(Doubling())
    kept = [(assert_right(replayed, 2, seed), seed) for seed in range(5)]
    for (doubled, _), seed in kept:
        a, _ = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(doubled, 2 * a)


@pytest.mark.usefixtures("cuda")
def test_the_latest_used_shapes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "_KEPT", 2)
    function = Doubling()
    replayed = Replayed(function)
    for width in (3, 4, 3, 4, 3, 4):
        assert_right(replayed, 2, width=width)
    assert function.calls == 6
    assert_right(replayed, 2, width=5)  # in the place of width 3
    assert_right(replayed, 2, width=4)
    assert function.calls == 7
    assert_right(replayed, 2, width=3)
    assert function.calls == 8


@pytest.mark.usefixtures("cuda")
def test_a_shape_whose_capture_fails_runs_without_a_graph(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def waiting(a: Tensor, b: Tensor) -> Sequence[Tensor]:
        calls.append(float(a.sum()))
        return a + a, a + b

    replayed = Replayed(waiting)
    with caplog.at_level(logging.WARNING):
        for seed in range(4):
            assert_right(replayed, 2, seed)
    assert len(caplog.records) == 1
    assert len(calls) == 5  # four answers, and one to prepare the libraries
    assert torch.cuda.set_stream.call_count == 1  # type: ignore[attr-defined]


@pytest.mark.usefixtures("cuda")
def test_threads_do_not_get_each_others_answers() -> None:
    replayed = Replayed(Doubling())
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda seed: assert_right(replayed, 1 + seed % 8, seed), range(200)):
            pass


@pytest.mark.usefixtures("cuda")
def test_inference_mode_of_one_caller_does_not_reach_the_next() -> None:
    replayed = Replayed(Doubling())
    for seed in range(3):
        with torch.inference_mode():
            assert_right(replayed, 2, seed)
    doubled, _ = assert_right(replayed, 2, 3)
    doubled += 1.0
