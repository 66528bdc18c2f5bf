"""The report of a drill, fault by fault."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.drill.client import Answer
from benchmarks.drill.load import Done

FULL_SECONDS = 5.0
"""In which the full rate must be back after a repair."""

_WINDOW_SECONDS = 1.5
_STEP_SECONDS = 0.1
_SLOW_SECONDS = 2.0


@dataclass(frozen=True)
class Struck:
    """A fault that happened.

    Attributes:
        struck, repaired, over: on the monotonic clock: when it began, when it was mended, and when the next may begin.
    """

    name: str
    harmless: bool
    partial: bool
    struck: float
    repaired: float
    over: float


@dataclass(frozen=True)
class Outcome:
    """The harm that a fault did to the clients.

    Attributes:
        failed: answers that were failures, by outcome.
        full_after: seconds from the repair until all requests were answered well again; None if they were not before the next.
        carried_after: seconds from the fault until the other replicas answered everything well; None if they did not before the
            repair.
    """

    name: str
    harmless: bool
    seconds: float
    failed: dict[str, int]
    full_after: float | None
    carried_after: float | None


def outcomes(faults: Sequence[Struck], done: Sequence[Done], answers: Sequence[Answer], rate: float) -> list[Outcome]:
    """Returns what each fault did."""
    found = []
    for fault in faults:
        failed = Counter(each.outcome for each in answers if fault.struck <= each.received < fault.over and is_failure(each))
        full = full_rate(done, fault.repaired, fault.over, rate)
        carried = full_rate(done, fault.struck, fault.repaired, rate) if fault.partial else None
        found.append(
            Outcome(
                fault.name,
                fault.harmless,
                fault.repaired - fault.struck,
                dict(failed),
                None if full is None else full - fault.repaired,
                None if carried is None else carried - fault.struck,
            )
        )
    return found


def is_failure(answer: Answer) -> bool:
    """Returns whether an answer is one that a client has to repeat its request for."""
    return answer.status == 0 or answer.status >= 500


def full_rate(done: Sequence[Done], since: float, until: float, rate: float) -> float | None:
    """Returns the first moment from which on all that is due in a second and a half ends well, each within two seconds.

    Args:
        rate: of actions a second.
    """
    due = np.array([each.due for each in done])
    well = np.array([each.fine and each.ended - each.due < _SLOW_SECONDS for each in done])
    for moment in np.arange(since, until - _WINDOW_SECONDS, _STEP_SECONDS):
        there = (due >= moment) & (due < moment + _WINDOW_SECONDS)
        if there.sum() >= 0.8 * rate * _WINDOW_SECONDS and well[there].all():
            return float(moment)
    return None


def outside(faults: Sequence[Struck], answers: Sequence[Answer]) -> list[Answer]:
    """Returns the failures at times when nothing was broken: more than five seconds after a repair."""
    return [
        each
        for each in answers
        if is_failure(each)
        and not any(fault.struck <= each.received and each.sent < fault.repaired + FULL_SECONDS for fault in faults)
    ]


def tell(found: Sequence[Outcome], answers: Sequence[Answer], wrong: Sequence[str], strays: Sequence[Answer]) -> dict[str, Any]:
    """Prints what a drill showed, and returns it."""
    print(f"{'fault':<38}{'lasted':>8}{'full rate':>11}{'others':>8}  failures")
    for each in found:
        failed = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(each.failed.items())) or "none"
        print(f"{each.name:<38}{each.seconds:>7.1f}s{_shown(each.full_after):>11}{_shown(each.carried_after):>8}  {failed}")
    kinds = Counter((each.kind, each.outcome) for each in answers)
    print(f"\n{'requests':<18}answers")
    for kind in sorted({kind for kind, _ in kinds}):
        print(f"{kind:<18}{', '.join(f'{count} x {what}' for (each, what), count in sorted(kinds.items()) if each == kind)}")
    undocumented = Counter((each.kind, each.outcome) for each in answers if not each.documented)
    print(f"{len(answers)} answers; {sum(undocumented.values())} of them not documented: {dict(undocumented)}")
    print(f"{len(strays)} failures while nothing was broken: {Counter((each.kind, each.outcome) for each in strays)}")
    late = [each.name for each in found if each.full_after is None or each.full_after > FULL_SECONDS]
    print(f"full rate within {FULL_SECONDS:.0f} s of {len(found) - len(late)} of {len(found)} repairs; not after {Counter(late)}")
    harmed = [each.name for each in found if each.harmless and each.failed]
    print(f"{len(harmed)} faults failed requests that may fail none: {Counter(harmed)}")
    print(f"{len(wrong)} wrong", *wrong[:40], sep="\n")
    return {
        "faults": [asdict(each) for each in found],
        "answers": {f"{kind}: {outcome}": count for (kind, outcome), count in kinds.items()},
        "undocumented": {f"{kind}: {outcome}": count for (kind, outcome), count in undocumented.items()},
        "late": late,
        "harmed": harmed,
        "strays": [asdict(each) for each in strays],
        "wrong": list(wrong),
    }


def _shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}s"
