"""A PostgreSQL database under the store: any number of processes read and write it."""

import logging
import secrets
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, func, insert, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from server.context import note_change
from server.errors import StorageFailed
from server.store.audit_rows import note_recorded, record_act
from server.store.database import WRONG_URL, StoreError, StoreInUse, StoreSizes
from server.store.failures import FAILED, STOPPING, UNKNOWN, UNREAD, storage_failures
from server.store.schema import SchemaError, migrate
from server.store.tables import changes, metadata

_CONNECTIONS = 16
_WAIT_SECONDS = 10.0  # for a connection, and for the transactions of the same tenant

# Of each connection: a server that is cut off must notice, and must not hold up others that wait for its transaction.
_SETTINGS = {
    "timezone": "UTC",
    "lock_timeout": f"{_WAIT_SECONDS:.0f}s",
    "idle_in_transaction_session_timeout": "30s",
    "tcp_user_timeout": "5s",
}
_CONNECTING = {
    "application_name": "headstart",
    "connect_timeout": 2,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 4_000,
}

_OURS = 0x48656164  # the first of the two numbers of each advisory lock that we take: another program may take others
_LEAVING_SECONDS = 3.0  # connections of a process that was killed are there for a moment
_HINT = "headstart_changes"
_MIGRATING = 2**31 - 1  # A tenant with the largest crc32 of all shares it, and then waits too.
_TAKE = text("SELECT pg_advisory_xact_lock(:ours, :number)")
_KEEP = text("SELECT pg_advisory_lock(:ours, :number)")
_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = :name AND pid <> pg_backend_pid()"
)
_NOT_AVAILABLE = "55P03"  # PostgreSQL's code of a lock that was not to be had in time

_log = logging.getLogger(__name__)


class PostgresDatabase:
    """Transactions on one PostgreSQL database. Thread-safe.

    Reading transactions see a snapshot (REPEATABLE READ). A writing one first takes a lock for each of its tenants.
    So those of one tenant come one after another as in SQLite, and what one of them has read is true until it commits.

    Attributes:
        name: that of this process among those that write to the database. It changes when nobody can tell whether a change was
            committed, so that the change is taken for another's if it appears.
        seems_away: returns whether transactions are to fail at once, as `looking` says.
        on_write: is called after each transaction that has changed a tenant's data.
    """

    def __init__(self, engine: Engine) -> None:
        self.name = secrets.token_hex(8)
        self.on_write: Callable[[], None] = lambda: None
        self.seems_away: Callable[[], bool] = lambda: self._away
        self._writer = engine
        self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._closed = False
        self._away = False

    @classmethod
    def open(cls, url: str, *, unfinished: bool = False) -> "PostgresDatabase":
        """Connects to the database, and brings its schema up to date.

        Args:
            unfinished: whether it may be an unfinished copy.

        Raises:
            StoreError: it cannot be used, or a later release has written it.
        """
        database = cls.connect(url)
        try:
            with database._writer.begin() as connection:
                _lock(connection, [_MIGRATING])
                migrate(connection, unfinished=unfinished)
        except (DBAPIError, SchemaError) as error:
            database.close()
            raise StoreError(f"{shown(url)} cannot be used: {_reason(error)}") from error
        return database

    @classmethod
    def open_as_it_is(cls, url: str, *, creates: bool = False) -> "PostgresDatabase":
        """Connects to a database of this release's schema.

        Args:
            creates: whether to make the schema in a database that has none of any release.

        Raises:
            StoreError: it cannot be used, or a server of this release has not written it.
        """
        database = cls.connect(url)
        try:
            there = set(inspect(database._reader).get_table_names())
        except DBAPIError as error:
            database.close()
            raise StoreError(f"{shown(url)} cannot be used: {_reason(error)}") from error
        if not there.issuperset(metadata.tables):
            database.close()
            if creates and "alembic_version" not in there:
                return cls.open(url)
            raise StoreError(f"{shown(url)} has no schema of this release; start a server of this release with it first")
        return database

    @classmethod
    def connect(cls, url: str) -> "PostgresDatabase":
        """Connects to the database when it is first used, and leaves its schema as it is.

        Raises:
            StoreError: the URL is none of a PostgreSQL database, or its driver is not installed.
        """
        try:
            engine = create_engine(
                make_url(url).set(drivername="postgresql+psycopg"),
                pool_size=_CONNECTIONS,
                max_overflow=0,
                pool_timeout=_WAIT_SECONDS,
                pool_pre_ping=True,
                hide_parameters=True,
                connect_args={**_CONNECTING, "options": " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())},
            )
        except (ArgumentError, ValueError) as error:
            raise StoreError(WRONG_URL) from error
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise StoreError("PostgreSQL needs psycopg: pip install '.[postgres]'") from error
        return cls(engine)

    def close(self) -> None:
        """Lets go of the database. Later transactions fail; those under way still end."""
        self._closed = True
        self._writer.dispose()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps servers from starting with the database until the block ends. Call it before anything else of a new instance.

        Raises:
            StoreInUse: a server or a command uses the database.
            StorageFailed: the database cannot be reached.
        """
        with self._session() as connection:  # The lock ends with it.
            connection.execute(_KEEP, {"ours": _OURS, "number": _MIGRATING})
            until = time.monotonic() + _LEAVING_SECONDS
            while connection.execute(_OTHERS, {"name": _CONNECTING["application_name"]}).scalar_one():
                if time.monotonic() > until:
                    raise StoreInUse(f"{shown(self._writer.url)} is in use by a server; stop every server that uses it")
                time.sleep(0.1)
            yield

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Has all transactions but those of the block fail at once, from a block that fails until one that succeeds.

        Else each would wait for a database that is away, until no thread is left and nothing can be answered.
        """
        try:
            yield
        except StorageFailed:
            self._away = True
            self._writer.dispose()  # After a fail-over, or behind a network that was cut, no old connection is of use.
            raise
        self._away = False

    @contextmanager
    def read(self, *, also_if_away: bool = False) -> Iterator[Connection]:
        """Yields a connection to a snapshot, as `Database.read` says."""
        with storage_failures(UNREAD):
            self._check_there(also_if_away)
            with self._reader.connect() as connection:
                yield connection

    @contextmanager
    def write(self, *tenants: str, removes: bool = False, replaces: bool = False) -> Iterator[Connection]:  # noqa: ARG002
        """Yields a connection with a transaction, as `Database.write` says."""
        with storage_failures(FAILED):
            self._check_there()
            with self._writer.connect() as connection:
                _lock(connection, map(_lock_of, tenants))
                yield connection
                recorded = record_act(connection)
                self._commit(connection)
            if recorded:
                note_recorded()
            if tenants:
                self.on_write()

    def tell_change(self, connection: Connection, tenant: str, task: str, removed: Collection[int] = ()) -> None:
        """Tells the other servers of a change, as `Database.tell_change` says."""
        row = insert(changes).values(server=self.name, tenant=tenant, task=task, removed=list(removed))
        note_change(connection.execute(row.returning(changes.c.transaction)).scalar_one())

    @contextmanager
    def hints(self) -> Iterator[Callable[[float], None]]:
        """Yields a function that waits so many seconds, or until another process has called `hint`.

        Raises:
            StorageFailed: the database cannot be reached, or the connection is lost. The function raises it too.
        """
        with self._session() as connection:
            connection.exec_driver_sql(f"LISTEN {_HINT}")
            driver: Any = connection.connection.driver_connection

            def wait(seconds: float) -> None:
                for _hint in driver.notifies(timeout=seconds, stop_after=1):
                    pass

            yield wait

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        """Yields a connection outside transactions. With the block it ends, and so do its locks and what it listens to."""
        with storage_failures(UNREAD), self._writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            try:
                yield connection
            finally:
                connection.invalidate()

    def hint(self) -> None:
        """Has the other processes read of changes soon.

        A transaction of its own, which waits for no disk: PostgreSQL commits those with hints one after another.

        Raises:
            StorageFailed: the database cannot be reached.
        """
        with storage_failures(UNREAD), self._writer.begin() as connection:
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            connection.exec_driver_sql(f"NOTIFY {_HINT}")

    def erase(self) -> bool:
        """Returns True: PostgreSQL itself clears what was removed, in its own time."""
        return True

    def give_room(self) -> int:
        """Returns a number of bytes that a removal may always take: no space is kept on a disk that is not this server's."""
        return 2**25

    def check(self) -> None:
        """Checks that the database can be read and written, as `Database.check` says."""
        with storage_failures(FAILED):
            self._check_there()
            with self._writer.connect() as connection:
                if connection.execute(select(func.pg_is_in_recovery())).scalar_one():
                    raise StorageFailed("the database is a standby, which cannot be written; try again later")

    def sizes(self) -> StoreSizes:
        """Returns the size of the database. Raises StorageFailed if it cannot be told."""
        with self.read() as connection:
            return StoreSizes(connection.execute(select(func.pg_database_size(func.current_database()))).scalar_one())

    def _commit(self, connection: Connection) -> None:
        """Commits. Raises StorageFailed if the connection is lost meanwhile: then nobody can tell whether it was written."""
        try:
            connection.commit()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            self.name = secrets.token_hex(8)
            _log.exception("the database failed while it was writing")
            raise StorageFailed(UNKNOWN) from error

    def _check_there(self, also_if_away: bool = False) -> None:
        if self._closed:
            raise StorageFailed(STOPPING)
        if not also_if_away and self.seems_away():
            raise StorageFailed("the database cannot be reached; try again", retry_after=1)


def shown(url: str | URL) -> str:
    """Returns a database's URL without its parameters, since one may be a password."""
    return make_url(url).set(query={}).render_as_string(hide_password=True)


def _lock(connection: Connection, numbers: Iterable[int]) -> None:
    """Waits for these locks, which the transaction holds until it ends. In ascending order: so no two wait for each other."""
    for number in sorted(set(numbers)):
        connection.execute(_TAKE, {"ours": _OURS, "number": number})


def _lock_of(tenant: str) -> int:
    """Returns the number of a tenant's lock, int32. Two tenants may share one, and then also wait for each other."""
    return zlib.crc32(tenant.encode()) - 2**31


def _reason(error: DBAPIError | SchemaError) -> str:
    """Returns the first line of what went wrong."""
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == _NOT_AVAILABLE:
        return "another process brings its schema up to date or copies it"
    return str(error.orig if isinstance(error, DBAPIError) else error).partition("\n")[0]
