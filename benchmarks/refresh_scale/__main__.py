"""How long does a refresh of 100,000 tasks take, and what of it grows with their number?

    python -m benchmarks.refresh_scale --json refresh_scale.json

Real servers move real tasks, of 25 small images each, onto a copy of their bundle which must embed them again: one server on a
file of SQLite, then one and more that share a PostgreSQL database. Nothing else is asked of them. From the processor time of a
task follows what 100,000 take where each server has a core for it. Then each statement is timed with rows of up to 100,000 tasks.
"""

import argparse
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bundles import twin_of
from benchmarks.postgres_server import PostgresServer
from benchmarks.refresh_scale.rows import statement_times
from benchmarks.refresh_scale.stored import Filler
from benchmarks.refresh_scale.work import Work, refresh
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import paper_bundle
from models.bundle import open_bundle
from server.store.store import Store, sqlite_url

_PLANNED = 100_000
_FEWER = 10
_DURABLE = {"fsync": "on"}


def main() -> None:
    arguments = _parser().parse_args()
    bundle = paper_bundle()
    filler = Filler(bundle, arguments.engine)
    with TemporaryDirectory() as temporary, PostgresServer(_DURABLE) as postgres:
        folder = Path(temporary)
        twin = open_bundle(twin_of(bundle.path, folder)).manifest
        flags = ("--bundles-dir", str(folder / "twin"), "--engine", arguments.engine, "--workers", "1")
        works = []
        for number, servers in enumerate([1, *arguments.replicas]):
            where, shared = folder / f"work{number}", number > 0
            where.mkdir()
            url = _database(postgres, f"work{number}") if shared else sqlite_url(where / "data0")
            with closing(Store.open(url)) as store:
                filler.add(store, arguments.tasks if servers == max(arguments.replicas) else arguments.tasks // _FEWER)
            database = ("--database-url", url) if shared else ()
            works.append(refresh(where, twin.id, servers, postgres if shared else None, (*flags, *database)))
            _tell_work(works[-1], shared)
        rows = {name: _rows(filler, url, arguments.rows) for name, url in _databases(postgres, folder).items()}
    _tell_rows(rows)
    write_json(arguments.json, {"work": [asdict(work) for work in works], "rows": rows})


def _parser() -> argparse.ArgumentParser:
    parser = benchmark_parser("refresh_scale", __doc__)
    parser.add_argument(
        "--tasks", type=int, default=2000, help="that the most servers move; fewer move a tenth (default %(default)s)"
    )
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 3], help="servers on PostgreSQL (default 1 2 3)")
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000], help="default 1000 10000 100000")
    parser.add_argument("--engine", default="onnx", help="of all servers (default %(default)s)")
    return parser


def _database(postgres: PostgresServer, name: str) -> str:
    with postgres.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres.url(name)


def _databases(postgres: PostgresServer, folder: Path) -> dict[str, str]:
    return {"SQLite": sqlite_url(folder / "rows"), "PostgreSQL": _database(postgres, "rows")}


def _rows(filler: Filler, url: str, counts: list[int]) -> dict[int, dict[str, float]]:
    """Returns the milliseconds of each statement by the number of tasks."""
    times = {}
    with closing(Store.open(url)) as store:
        filler.add(store, 1)
        there = 1
        for count in sorted(counts):
            filler.add_rows(store, count - there)
            there = count
            times[count] = statement_times(store)
    return times


def _tell_work(work: Work, shared: bool) -> None:
    where, hours = "PostgreSQL" if shared else "SQLite", _PLANNED * work.per_task / 1e3 / work.servers / 3600
    own, database = (1e3 * seconds / work.tasks for seconds in (work.server_seconds, work.database_seconds))
    print(
        f"{work.servers} on {where}: {work.tasks} tasks in {work.seconds:.1f} s, {work.tasks / work.seconds:.1f} a second;",
        end=" ",
    )
    print(f"of a task {own:.1f} ms of the servers' processors and {database:.1f} of the database's;", end=" ")
    print(f"{_PLANNED:,} tasks take {hours:.1f} h", flush=True)


def _tell_rows(rows: dict[str, dict[int, dict[str, float]]]) -> None:
    for name, times in rows.items():
        print(f"{name + ', ms':<28}" + "".join(f"{count:>12,}" for count in times))
        for statement in next(iter(times.values())):
            print(f"{statement:<28}" + "".join(f"{some[statement]:>12.1f}" for some in times.values()))


if __name__ == "__main__":
    main()
