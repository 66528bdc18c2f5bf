"""A server's data directory with many tasks: copies, made in the database, of one that was created over HTTP."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.server_process import ServerProcess
from benchmarks.shared.setting import create_task, support_set

_TABLES = ("tasks", "versions", "examples", "embeddings")


@contextmanager
def filled(count: int, shots: int = 1) -> Iterator[tuple[Path, Sequence[str]]]:
    """Makes a data directory with about `count` tasks of five classes, and yields it with their ids.

    Args:
        shots: examples of each class.
    """
    with TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        with ServerProcess(data_dir) as server, httpx.Client(base_url=server.url, timeout=60) as api:
            original = create_task(api, support_set(shots)).rpartition("/")[2]
        with closing(sqlite3.connect(data_dir / "headstart.db")) as database:
            database.execute("PRAGMA synchronous = OFF")
            ids = [original, *(f"{original[:-8]}{number:08d}" for number in range(count))]
            for table in _TABLES:
                _copy(database, table, original, ids[1:])
            database.commit()
        os.sync()  # Pending writes to the disk would delay the server's own.
        yield data_dir, ids


def _copy(database: sqlite3.Connection, table: str, original: str, ids: Sequence[str]) -> None:
    """Copies each row of the original to each of the ids."""
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    owner = columns.index("id" if table == "tasks" else "task")
    rows = database.execute(f"SELECT * FROM {table} WHERE {columns[owner]} = ?", (original,)).fetchall()  # noqa: S608
    marks = ", ".join("?" * len(columns))
    for row in rows:
        copies = ((*row[:owner], id_, *row[owner + 1 :]) for id_ in ids)
        database.executemany(f"INSERT INTO {table} VALUES ({marks})", copies)  # noqa: S608
