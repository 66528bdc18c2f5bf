"""Rates: how many requests and images a caller may bring a minute, by the generic cell rate algorithm.

The algorithm (GCRA, ITU-T I.371) keeps one number for each rate, its theoretical arrival time. With a quota of q units in w
seconds, a unit takes T = w / q seconds. Units that come at `now` move the time to max(time, now) + units · T. They are refused if
it would then lie more than w seconds ahead. So q units may come at once, and q every w seconds in the long run.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import ceil, floor
from types import TracebackType
from typing import Literal, Protocol

from server.errors import QuotaExceeded, Unavailable

WINDOW = 60.0  # seconds
Metered = Literal["requests", "images"]
Holder = Literal["tenant", "key"]

_ROUNDING = 1e-6  # seconds: more than the sums of float64 are off by, and less than a unit of any quota takes


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate that a tenant or one of its keys is limited to.

    Attributes:
        slot: the name of its theoretical arrival time, which nothing else has.
        quota: units in `WINDOW` seconds.
    """

    what: Metered
    of: Holder
    slot: str
    quota: int

    @property
    def interval(self) -> float:
        """The seconds that a unit takes."""
        return WINDOW / self.quota

    @property
    def name(self) -> str:
        """The name of its policy in header fields."""
        return self.what if self.of == "tenant" else f"key-{self.what}"


class Times(Protocol):
    """A number by name. Enter it as a context around its calls: only one thread is inside."""

    def get(self, name: str, default: float, /) -> float: ...

    def update(self, times: Mapping[str, float], /) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None, /) -> None: ...


class _OwnTimes(dict[str, float]):
    """Times of this process alone."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


class ArrivalTimes:
    """The theoretical arrival time of each rate, one float64 by its slot, in seconds of the machine's monotonic clock.

    Thread-safe. Each method is one step.

    Args:
        times: where they are kept. None to keep them in this process.
        tells: whether `take_used` is called again and again.
    """

    def __init__(self, times: Times | None = None, *, tells: bool = False) -> None:
        self._tells = tells
        self._times = times if times is not None else _OwnTimes()
        self._used: dict[str, float] = {}

    def charge(self, rates: Sequence[Rate], units: int, now: float) -> tuple[Rate, float] | None:
        """Charges units to every one of the rates, or to none.

        Returns:
            None if they were charged. Else the rate that takes longest to let them pass, and the seconds until then.
        """
        with self._times:
            moved = {rate.slot: self._moved(rate, units, now) for rate in rates}
            waits = [(moved[rate.slot] - now - WINDOW, rate) for rate in rates]
            wait, slowest = max(waits, key=lambda each: each[0])
            if wait > _ROUNDING:
                return slowest, wait
            self._times.update(moved)
            self._note(rates, units)
            return None

    def give_back(self, rates: Sequence[Rate], units: int) -> None:
        """Takes back what was charged a moment ago."""
        with self._times:
            self._times.update({rate.slot: self._times.get(rate.slot, 0.0) - units * rate.interval for rate in rates})
            self._note(rates, -units)

    def take_used(self) -> dict[str, float]:
        """Returns for how many seconds each slot was used by calls here since the last call of this. What was given back since is
        taken off the next use.
        """
        with self._times:
            used = {slot: seconds for slot, seconds in self._used.items() if seconds > 0}
            self._used = {slot: seconds for slot, seconds in self._used.items() if seconds < 0}
        return used

    def put_back(self, used: Mapping[str, float]) -> None:
        """Has `take_used` return these as well."""
        with self._times:
            for slot, seconds in used.items():
                self._used[slot] = self._used.get(slot, 0.0) + seconds

    def add_used(self, used: Mapping[str, float], now: float) -> None:
        """Charges what was used elsewhere: seconds by slot, however many."""
        with self._times:
            self._times.update({slot: max(self._times.get(slot, now), now) + seconds for slot, seconds in used.items()})

    def ahead(self, rates: Sequence[Rate], now: float) -> list[float]:
        """Returns how many seconds each rate's time lies ahead: 0 if nothing of its quota is used."""
        with self._times:
            return [self._moved(rate, 0, now) - now for rate in rates]

    def _note(self, rates: Sequence[Rate], units: int) -> None:
        for rate in rates if self._tells else ():
            self._used[rate.slot] = self._used.get(rate.slot, 0.0) + units * rate.interval

    def _moved(self, rate: Rate, units: int, now: float) -> float:
        return max(self._times.get(rate.slot, now), now) + units * rate.interval


class Account:
    """The rates that the requests of one caller are charged to.

    Args:
        rates: of each kind, that of the tenant before that of the key.
    """

    def __init__(self, times: ArrivalTimes, rates: Mapping[Metered, Sequence[Rate]]) -> None:
        self._times = times
        self._by_kind = rates
        self.rates = [rate for of_kind in rates.values() for rate in of_kind]
        self._policy = ", ".join(f'"{rate.name}";q={rate.quota};w={WINDOW:.0f}' for rate in self.rates).encode()

    def most(self, what: Metered) -> int | None:
        """Returns the most units that can ever pass at once; None for any number."""
        return min((rate.quota for rate in self._by_kind[what]), default=None)

    def charge(self, what: Metered, units: int) -> None:
        """Charges requests or images. Raises QuotaExceeded, with nothing charged, if they are too many now."""
        rates = self._by_kind[what]
        if not rates or not units:
            return
        if (refused := self._times.charge(rates, units, time.monotonic())) is None:
            return
        rate, seconds = refused
        most = min(rates, key=lambda each: each.quota)
        if units > most.quota:
            raise QuotaExceeded(
                what,
                f"{what} of this request: {units}; this {most.of} has a quota of {most.quota} a minute, so they can never pass "
                "at once; send fewer in a request",
            )
        wait = max(1, ceil(seconds - _ROUNDING))
        raise QuotaExceeded(
            what, f"this {rate.of} has used its quota of {rate.quota} {what} a minute; try again in {wait} seconds", wait
        )

    def give_back(self, what: Metered, units: int) -> None:
        """Takes back what was charged a moment ago."""
        if units:
            self._times.give_back(self._by_kind[what], units)

    def left(self) -> list[tuple[int, float]]:
        """Returns for each of the rates how many units would pass now, and in how many seconds all of its quota would."""
        ahead = self._times.ahead(self.rates, time.monotonic())
        return [
            (max(0, floor((WINDOW - seconds + _ROUNDING) / rate.interval)), seconds)
            for rate, seconds in zip(self.rates, ahead, strict=True)
        ]

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Returns the header fields `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers)."""
        state = [
            f'"{rate.name}";r={units};t={ceil(seconds)}' for rate, (units, seconds) in zip(self.rates, self.left(), strict=True)
        ]
        return [(b"ratelimit-policy", self._policy), (b"ratelimit", ", ".join(state).encode())]


paying: ContextVar[Account | None] = ContextVar("paying", default=None)
"""The account of the caller of the request that is being answered; None if nothing limits it."""


@contextmanager
def charged(images: int) -> Iterator[None]:
    """Charges the images that the block decodes and embeds, and takes that back if the server cannot do it now.

    Raises:
        QuotaExceeded: they are too many now; nothing was charged.
    """
    account = paying.get()
    if account is None:
        yield
        return
    account.charge("images", images)
    try:
        yield
    except Unavailable:
        account.give_back("images", images)
        raise
