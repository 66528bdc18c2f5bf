"""What do quotas cost? Creations with and without them where much is stored, what counting would cost instead, and charging.

    python -m benchmarks.quotas --json quotas.json

Two servers have the same stored tasks, copies of one that was created over HTTP, of ten examples each. One has quotas of all
kinds. Of the other's database the triggers that count were removed, and it has no quota. They are asked in turn.
"""

import shutil
import sqlite3
import time
import timeit
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from statistics import median

import httpx

from benchmarks.server_process import ServerProcess
from benchmarks.serving.filled import filled
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, support_set
from server.keys import DEFAULT_TENANT
from server.rates import Account, ArrivalTimes, Holder, Metered, Rate
from server.store.quota_records import Quota
from server.store.store import Store, sqlite_url
from server.store.usage import check_usage

_SHOTS = 2
_PLENTY = 10**9  # a minute, or stored: nothing is refused
_REPEATED = 2000
_COUNT = "SELECT COUNT(*), SUM(size) FROM examples WHERE tenant = ? AND sha256 IS NOT NULL"


def main() -> None:
    parser = benchmark_parser("quotas", __doc__, rounds=300)
    parser.add_argument("--tasks", type=int, default=10_000, help="stored tasks (default %(default)s)")
    arguments = parser.parse_args()
    with filled(arguments.tasks, _SHOTS) as (data_dir, _):
        without = data_dir.with_name("without")
        shutil.copytree(data_dir, without)
        _drop_triggers(without)
        look, count = _look(data_dir)
        creations = _creations(data_dir, without, arguments.rounds)
    figures = {"look": look, "count": count, **creations, "charge": _charge()}
    write_json(arguments.json, {"tasks": arguments.tasks, "examples": 5 * _SHOTS * arguments.tasks, **figures})


def _drop_triggers(data_dir: Path) -> None:
    with closing(sqlite3.connect(data_dir / "headstart.db")) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")


def _look(data_dir: Path) -> tuple[float, float]:
    """Sets quotas. Returns the seconds of a look at them and at what is stored, and those of counting that anew."""
    with closing(Store.open(sqlite_url(data_dir))) as store:
        store.quotas.change(DEFAULT_TENANT, "", asdict(Quota(*[_PLENTY] * 6)))
        with store._database.read() as connection:
            look = min(timeit.repeat(lambda: check_usage(connection, DEFAULT_TENANT, "tasks"), number=_REPEATED)) / _REPEATED
    with closing(sqlite3.connect(data_dir / "headstart.db")) as database:
        count = median(timeit.repeat(lambda: database.execute(_COUNT, (DEFAULT_TENANT,)).fetchone(), number=1, repeat=5))
    print(f"{1e6 * look:.0f} us for a look at quotas and counters; {1e3 * count:.1f} ms to count anew")
    return look, count


def _creations(with_quotas: Path, without: Path, rounds: int) -> dict[str, float]:
    """Returns the median seconds of a creation of each kind, and the median of their ratios within a round."""
    support = support_set(_SHOTS)
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    with ExitStack() as stack:
        apis = {}
        for name, data_dir in (("with", with_quotas), ("without", without)):
            server = stack.enter_context(ServerProcess(data_dir))
            apis[name] = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
            for _ in range(3):
                create_task(apis[name], support)
        for turn in range(rounds):
            for name in list(apis)[:: 1 if turn % 2 else -1]:
                began = time.perf_counter()
                create_task(apis[name], support)
                seconds[name].append(time.perf_counter() - began)
    ratio, least, most = _ratio(seconds["with"], seconds["without"])
    found = {name: median(taken) for name, taken in seconds.items()}
    print(f"a creation: {1e3 * found['with']:.2f} ms with quotas, {1e3 * found['without']:.2f} ms without")
    print(f"{ratio:.3f} times as long in the median of {rounds} turns, and {least:.3f} to {most:.3f} in those of its tenths")
    return {**found, "ratio": ratio, "least": least, "most": most}


def _ratio(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Returns the median ratio of the turns, and the least and the most of the medians of ten parts of them."""
    ratios = [mine / other for mine, other in zip(first, second, strict=True)]
    parts = [median(part) for at in range(10) if (part := ratios[at::10])]
    return median(ratios), min(parts), max(parts)


def _charge() -> float:
    """Returns the seconds that a request's rates take: charged, and told in the header fields of its answer."""
    kinds: tuple[Metered, ...] = ("requests", "images")
    holders: tuple[Holder, ...] = ("tenant", "key")
    account = Account(ArrivalTimes(), {what: [Rate(what, of, f"{of}/{what}", _PLENTY) for of in holders] for what in kinds})

    def charge() -> None:
        account.charge("requests", 1)
        account.charge("images", 1)
        account.fields()

    seconds = min(timeit.repeat(charge, number=_REPEATED, repeat=5)) / _REPEATED
    print(f"{1e6 * seconds:.1f} us to charge a request to four rates, and to tell them")
    return seconds


if __name__ == "__main__":
    main()
