"""What the benchmarks measure with."""

import pytest

from benchmarks import turns
from benchmarks.turns import Rates, race, repeat


def test_rates_count_what_was_done_and_not_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(turns, "perf_counter", lambda: now)

    def generous(count: int) -> int:
        nonlocal now
        now += 1.0 * max(count, 64)
        return max(count, 64)

    def tick() -> None:
        nonlocal now
        now += 0.25

    rates = race({"at least 64": generous, "exactly": repeat(tick)}, rounds=3, seconds=100.0)
    assert rates.rounds == {"at least 64": [1.0] * 3, "exactly": [4.0] * 3}
    assert str(rates.ratio("exactly", "at least 64")) == "4.00 (4.00, 4.00)"


def test_ratios_are_taken_round_by_round() -> None:
    ratio = Rates({"a": [2.0, 8.0, 3.0], "b": [1.0, 2.0, 3.0]}).ratio("a", "b")
    assert (ratio.median, ratio.least, ratio.most) == (2.0, 1.0, 4.0)
