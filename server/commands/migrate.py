"""`headstart-server migrate`: copies a whole store into another database, from SQLite to PostgreSQL or back."""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from models.bundle import BundleError
from server.commands.beside import default_folder, print_table
from server.engine.default_bundle import remembered_in, write_default
from server.errors import HeadstartError
from server.store.choices import Choices
from server.store.contents import Content, sizes_of
from server.store.copying import begin_copy, compare, copy_rows, end_copy, open_alone, reading_all
from server.store.database import Database, StoreError
from server.store.opening import is_shared, sqlite_url
from server.store.postgres_database import shown
from server.store.sqlite import path_of
from server.store.sqlite_beside import check_there

_ROW_BYTES = 200  # what a row costs beside its large values, for the time that is left
_TELL_SECONDS = 2.0


def migrate_command(arguments: Sequence[str]) -> int:
    """Runs the command. It prints a table of what both databases hold.

    Returns:
        The exit status: 0 if the copy is whole, 1 if not, 2 for wrong arguments.
    """
    asked = _parser().parse_args(arguments)
    os.umask(0o077)
    try:
        _migrate(asked.source, asked.target)
    except (StoreError, HeadstartError, BundleError) as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("headstart-server: stopped; the same command goes on", file=sys.stderr)
        return 1
    return 0


def _migrate(source_url: str, target_url: str) -> None:
    if not is_shared(source_url):
        check_there(source_url)
    name = _called(source_url)
    with open_alone(source_url) as source, open_alone(target_url, unfinished=True) as target, reading_all(source) as connection:
        begin_copy(target, name)
        sizes = sizes_of(connection)
        with target.read() as there:
            before = {table: rows for table, (rows, _) in sizes_of(there).items()}
        copy_rows(connection, target, _Progress("copied", sizes, before).add)
        twice = {table: (2 * rows, 2 * size) for table, (rows, size) in sizes.items()}
        contents = compare(connection, target, _Progress("compared", twice, {}).add)
        _print(contents)
        if different := [table for table, (one, other) in contents.items() if one != other]:
            raise StoreError(
                f"the copy differs from its source in {', '.join(different)}, and no server opens it; "
                "remove it and copy again, for one of the two was changed"
            )
        chosen = Choices(source).default_bundle() if is_shared(source_url) else remembered_in(path_of(source_url).parent)
        if chosen is not None:
            _choose(target_url, target, chosen)
        end_copy(connection, target)
    print(f"the copy is whole; {name} is as it was, with all its images: remove it when it is not needed", file=sys.stderr)


def _choose(url: str, database: Database, bundle: str) -> None:
    """Has new tasks of the copy get the same bundle."""
    if is_shared(url):
        Choices(database).choose_default_bundle(bundle)
    else:
        write_default(bundle, path_of(url).parent)


def _called(url: str) -> str:
    """Returns what a database is called, whichever folder the command runs in, without a password."""
    return shown(url) if is_shared(url) else str(path_of(url).resolve())


def _print(contents: dict[str, tuple[Content, Content]]) -> None:
    rows = [("TABLE", "ROWS", "COPIED", "SHA-256", "OF THE COPY", "")]
    for table, (one, other) in contents.items():
        said = "same" if one == other else "DIFFERENT"
        rows.append((table, str(one.rows), str(other.rows), one.sha256[:16], other.sha256[:16], said))
    print_table(rows)
    sys.stdout.flush()


class _Progress:
    """Lines on standard error that tell how far it is, how fast, and the time that is left.

    Args:
        stage: the word for what is done with rows.
        sizes: of each table how many rows it has, and how many bytes they take.
        before: how many of them were handled by an earlier command.
    """

    def __init__(self, stage: str, sizes: dict[str, tuple[int, int]], before: dict[str, int]) -> None:
        self._stage = stage
        self._weights = {table: _ROW_BYTES + size / max(1, rows) for table, (rows, size) in sizes.items()}
        self._left = sum(self._weights[table] * (rows - before.get(table, 0)) for table, (rows, _) in sizes.items())
        self._begun = self._told = time.monotonic()
        self._rows = self._bytes = 0
        self._done = 0.0

    def add(self, table: str, rows: int, size: int) -> None:
        self._rows += rows
        self._bytes += size
        self._done += rows * self._weights[table]
        now = time.monotonic()
        if now - self._told < _TELL_SECONDS:
            return
        self._told = now
        spent = now - self._begun
        left = max(0.0, self._left - self._done) * spent / self._done
        print(
            f"{self._stage} {self._rows} rows, {self._bytes / 1e6:.0f} MB, now of {table}; {self._rows / spent:.0f} rows/s, "
            f"{self._bytes / spent / 1e6:.1f} MB/s, about {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headstart-server migrate",
        description="Copies a whole store into another database, from SQLite to PostgreSQL or back, and compares the two. "
        "No server may use either of them. The same command goes on with a copy that was stopped. The source stays as it is.",
    )
    parser.add_argument(
        "--from",
        dest="source",
        default=sqlite_url(default_folder()),
        metavar="URL",
        help="sqlite:///FILE or postgresql://USER@HOST/NAME (default: the file in the server's data directory)",
    )
    parser.add_argument(
        "--to", dest="target", required=True, metavar="URL", help="likewise; an empty database, or a file to make"
    )
    return parser
