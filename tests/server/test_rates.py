"""The generic cell rate algorithm beside its definition as a bucket of tokens, in exact fractions."""

import threading
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import EngineFailed, InvalidRequest, QuotaExceeded
from server.rates import WINDOW, Account, ArrivalTimes, Rate, charged, paying

_START = 1e6  # seconds: a machine that has been up for eleven days

quotas = st.integers(1, 500)
events = st.lists(st.tuples(st.integers(0, 90_000), st.integers(1, 600)), max_size=40)  # milliseconds, units


def rate(quota: int, slot: str = "a") -> Rate:
    return Rate("images", "tenant", slot, quota)


class Bucket:
    """It holds `quota` tokens at first and at most, and gets as many in a minute."""

    def __init__(self, quota: int) -> None:
        self.quota = self.tokens = Fraction(quota)

    def fill(self, milliseconds: int) -> None:
        self.tokens = min(self.quota, self.tokens + self.quota * Fraction(milliseconds, 60_000))

    def take(self, units: int) -> bool:
        if self.tokens < units:
            return False
        self.tokens -= units
        return True


@given(quota=quotas, events=events)
def test_it_lets_pass_what_a_bucket_of_tokens_does(quota: int, events: list[tuple[int, int]]) -> None:
    times, bucket, milliseconds = ArrivalTimes(), Bucket(quota), 0
    for pause, units in events:
        milliseconds += pause
        now = _START + milliseconds / 1000
        bucket.fill(pause)
        assert (times.charge([rate(quota)], units, now) is None) == bucket.take(units)
        assert times.ahead([rate(quota)], now)[0] == pytest.approx(float(60 * (1 - bucket.tokens / quota)), abs=1e-5)


@given(quota=quotas, first=st.integers(1, 500), second=st.integers(1, 500))
def test_who_waits_as_long_as_told_passes_and_not_sooner(quota: int, first: int, second: int) -> None:
    times, limit = ArrivalTimes(), [rate(quota)]
    if times.charge(limit, first, _START) is not None or (refused := times.charge(limit, second, _START)) is None:
        return
    _, wait = refused
    assert times.charge(limit, second, _START + wait - 0.001) is not None
    assert (times.charge(limit, second, _START + wait) is None) == (second <= quota)


@given(small=quotas, large=quotas, units=st.lists(st.integers(1, 100), max_size=20))
def test_several_rates_are_charged_together_or_not_at_all(small: int, large: int, units: list[int]) -> None:
    times, both = ArrivalTimes(), [rate(small, "a"), rate(large, "b")]
    buckets = Bucket(small), Bucket(large)
    for each in units:
        before = times.ahead(both, _START)
        if min(bucket.tokens for bucket in buckets) >= each:
            assert times.charge(both, each, _START) is None
            assert all(bucket.take(each) for bucket in buckets)
        else:
            refused = times.charge(both, each, _START)
            assert refused is not None
            lacking = [(each - bucket.tokens) * 60 / bucket.quota for bucket in buckets]
            assert refused[1] == pytest.approx(float(max(lacking)), abs=1e-5), "the longest wait of them"
            assert times.ahead(both, _START) == before


@given(quota=st.integers(10, 500), units=st.integers(1, 10))
def test_what_is_given_back_can_be_used_again(quota: int, units: int) -> None:
    times, limit = ArrivalTimes(), [rate(quota)]
    assert times.charge(limit, quota, _START) is None
    times.give_back(limit, units)
    assert times.charge(limit, units + 1, _START) is not None
    assert times.charge(limit, units, _START) is None


def test_threads_together_pass_no_more_than_the_quota() -> None:
    times = ArrivalTimes()
    passed: list[bool] = []

    def charge() -> None:
        passed.extend(times.charge([rate(100)], 1, _START) is None for _ in range(100))

    threads = [threading.Thread(target=charge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert passed.count(True) == 100


def account(times: ArrivalTimes, **of_images: int) -> Account:
    return Account(
        times, {"requests": [], "images": [Rate("images", "tenant", name, quota) for name, quota in of_images.items()]}
    )


def test_images_that_the_server_has_no_room_for_are_not_charged() -> None:
    payer = account(ArrivalTimes(), a=10)
    token = paying.set(payer)
    try:
        for error in (EngineFailed("try again"), InvalidRequest("no")):
            with pytest.raises(type(error)), charged(4):
                raise error
        ((left, _),) = payer.left()
        assert left == 6, "an image that was looked at counts, whatever came of it"
        with charged(0):
            assert payer.left()[0][0] == 6
    finally:
        paying.reset(token)
    with charged(10**9):
        assert payer.left()[0][0] == 6, "nobody's images, such as those of a refresh"


def test_a_refusal_says_when_to_try_again_or_that_it_is_in_vain() -> None:
    payer = account(ArrivalTimes(), a=60)
    payer.charge("requests", 1)
    payer.charge("images", 60)
    with pytest.raises(QuotaExceeded, match="used its quota of 60 images a minute; try again in 20 seconds") as soon:
        payer.charge("images", 20)
    assert soon.value.retry_after == 20
    with pytest.raises(QuotaExceeded, match=r"images of this request: 61.* never") as never:
        payer.charge("images", 61)
    assert never.value.retry_after is None
    assert payer.most("images") == 60
    assert payer.most("requests") is None
    assert WINDOW == 60


def test_fields_are_lists_of_structured_items() -> None:
    payer = account(ArrivalTimes(), a=600)
    payer.charge("images", 588)
    assert payer.fields() == [(b"ratelimit-policy", b'"images";q=600;w=60'), (b"ratelimit", b'"images";r=12;t=59')]


def test_what_is_given_back_is_taken_off_what_others_are_told() -> None:
    times, of = ArrivalTimes(tells=True), [rate(60)]  # a unit takes a second
    assert times.charge(of, 5, _START) is None
    times.give_back(of, 2)
    assert times.take_used() == {"a": 3.0}
    times.give_back(of, 2)
    assert times.take_used() == {}
    times.charge(of, 6, _START)
    assert times.take_used() == {"a": 4.0}
    times.put_back({"a": 4.0})
    assert times.take_used() == {"a": 4.0}
    before = times.ahead(of, _START)[0]
    times.add_used({"a": 10.0}, _START)
    assert times.ahead(of, _START)[0] == before + 10.0
    assert times.take_used() == {}, "what was used elsewhere is told there"


def test_who_tells_nobody_keeps_nothing() -> None:
    times = ArrivalTimes()
    times.charge([rate(60)], 5, _START)
    assert times.take_used() == {}
