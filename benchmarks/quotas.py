"""What do quotas cost? Creations with and without them where much is stored, what counting would cost instead, and charging.

    python -m benchmarks.quotas --json quotas.json

Two servers have the same stored tasks, copies of one that was created over HTTP, of ten examples each. One has quotas of all
kinds. Of the other's database the triggers that count were removed, and it has no quota. They are asked in turn.
"""

import shutil
import sqlite3
import time
import timeit
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from statistics import median

import httpx

from benchmarks.server_process import ServerProcess
from benchmarks.serving.filled import filled
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, processor_seconds, support_set
from server.keys import DEFAULT_TENANT
from server.rates import Account, ArrivalTimes, Holder, Metered, Rate
from server.store.quota_records import Quota
from server.store.store import Store, sqlite_url
from server.store.usage import check_usage

_SHOTS = 2
_OF_A_TURN = 10  # creations
_PLENTY = 10**9  # a minute, or stored: nothing is refused
_REPEATED = 2000
_COUNT = "SELECT COUNT(*), SUM(size) FROM examples WHERE tenant = ? AND sha256 IS NOT NULL"


def main() -> None:
    parser = benchmark_parser("quotas", __doc__, rounds=60)
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
    """Returns the seconds of a creation of each kind, by the clock and by the server's processor time, and the ratios."""
    support = support_set(_SHOTS)
    clock: dict[str, list[float]] = {"with": [], "without": []}
    spent: dict[str, list[float]] = {"with": [], "without": []}
    with ExitStack() as stack:
        servers = {}
        for name, data_dir in (("with", with_quotas), ("without", without)):
            server = stack.enter_context(ServerProcess(data_dir))
            servers[name] = server, stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
        for turn in range(1 + rounds):
            for name in list(servers)[:: 1 if turn % 2 else -1]:
                server, api = servers[name]
                before, began = processor_seconds(server.process.pid), time.perf_counter()
                for _ in range(_OF_A_TURN):
                    create_task(api, support)
                clock[name].append((time.perf_counter() - began) / _OF_A_TURN)
                spent[name].append((processor_seconds(server.process.pid) - before) / _OF_A_TURN)
    # The first turn warms both.
    found = {f"{name}_{what}": median(of[name][1:]) for what, of in (("clock", clock), ("cpu", spent)) for name in of}
    found["cpu_ratio"] = sum(spent["with"][1:]) / sum(spent["without"][1:])
    found["clock_ratio"] = median(mine / other for mine, other in zip(clock["with"][1:], clock["without"][1:], strict=True))
    for name in ("with", "without"):
        clocked, used = 1e3 * found[f"{name}_clock"], 1e3 * found[f"{name}_cpu"]
        print(f"a creation {name} quotas: {clocked:.1f} ms, {used:.1f} ms of processor time")
    print(f"{found['clock_ratio']:.3f} times as long in the median of {rounds} turns of {_OF_A_TURN}", end=", ")
    print(f"and {found['cpu_ratio']:.3f} times the processor time over all of them")
    return found


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
