"""API keys in memory, so that no request waits for the store, and the thread that keeps them up to date."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hmac import compare_digest

from server.changes import Changes
from server.keys import digest_of, id_of
from server.store.background import succeeds
from server.store.key_records import StoredKey
from server.store.store import Store

LOOK_SECONDS = 1.0  # between two looks for changes by another process
_NOTE_SECONDS = 60.0  # between two writes of when keys were used
_NO_DIGEST = bytes(32)  # of no key
_HELD_UP_SECONDS = 2.0  # after a look or a write that failed


class ActiveKeys:
    """Every key of the store. Thread-safe.

    Args:
        changes: counts changes of keys for the processes that follow this one, or is what this one follows.
        note_use: takes when keys were last used, by id, in a process that only reads the store. None where this one writes it.

    Raises:
        StorageFailed: they cannot be read.
    """

    def __init__(self, store: Store, changes: Changes, note_use: Callable[[Mapping[str, datetime]], None] | None = None) -> None:
        self._store = store.keys
        self._changes = changes
        self._follows = note_use is not None
        self._write_use = note_use or store.keys.note_use
        self._seen = changes.of_keys
        self._keys: dict[str, StoredKey] = {}
        self._dropped: frozenset[str] = frozenset()
        self._change = 0
        self._required = False
        self._used: dict[str, datetime] = {}
        self._loading = threading.Lock()
        self._closing = threading.Event()
        self._also: Callable[[], None] = lambda: None
        self._note_at = time.monotonic() + _NOTE_SECONDS
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)
        self.load()

    @property
    def required(self) -> bool:
        """True if requests need a key: from the first key on, also when none is valid any more. It is asked first of all.

        Raises:
            StorageFailed: another process has changed a key, and they cannot be read.
        """
        if self._follows and self._changes.of_keys != self._seen:
            self.load()  # It blocks for a millisecond. No request may be answered to a key that was revoked before it.
        return self._required

    def start(self, also: Callable[[], None]) -> None:
        """Begins to look for changes by other processes, and to write when keys were used.

        Args:
            also: looks for other changes, as often.
        """
        self._also = also
        self._thread.start()

    def find(self, key: str) -> StoredKey | None:
        """Returns the record of a key if it is valid now, else None. Never blocks."""
        id_ = id_of(key)
        if id_ is None:
            return None
        known, given = self._keys.get(id_), digest_of(key)
        # An id that no key has costs as much as a wrong secret, so that time does not tell which ids there are.
        if not compare_digest(_NO_DIGEST if known is None else known.sha256, given) or known is None or known.id in self._dropped:
            return None
        now = datetime.now(UTC)
        if not known.is_valid(now):
            return None
        self._used[known.id] = now
        return known

    def drop(self, tenant: str, id_: str) -> bool:
        """Lets a key of the tenant open nothing from now on, whatever the store says of it. Returns False if there is none."""
        with self._loading:
            if (known := self._keys.get(id_)) is None or known.tenant != tenant:
                return False
            self._dropped |= {id_}
            return True

    def load(self) -> None:
        """Reads the keys, if any has changed. A change that was written before the call holds when it returns.

        Raises:
            StorageFailed: they cannot be read.
        """
        with self._loading:  # An earlier state must not replace a later one.
            seen = self._changes.of_keys
            change = self._store.last_change()
            if change != self._change:
                now = datetime.now(UTC)
                # Rows of keys that have ended stay in the database for good, and would fill the memory.
                self._keys = {key.id: key for key in self._store.page(None) if key.is_valid(now)}
                self._dropped &= self._keys.keys()
                self._change = change
                self._required = True  # Until the server is started again, whatever becomes of the rows.
                if not self._follows:
                    self._changes.count_keys()
            self._seen = seen

    def close(self) -> None:
        """Ends the thread, and writes when keys were last used."""
        self._closing.set()
        self._thread.join()
        self._guarded(self._note_use)

    def _run(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            fine = self._guarded(self.load)
            self._guarded(self._also)
            if time.monotonic() >= self._note_at:
                self._note_at = time.monotonic() + _NOTE_SECONDS
                fine &= self._guarded(self._note_use)
            if not fine:
                self._closing.wait(_HELD_UP_SECONDS)

    def _note_use(self) -> None:
        used, self._used = self._used, {}
        if used:
            self._write_use(used)

    def _guarded(self, work: Callable[[], None]) -> bool:
        return succeeds(work, "keys could not be looked after")
