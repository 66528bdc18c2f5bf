"""The parts that the journeys use, opened together and closed together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from server.cache.heads import ActiveHeads
from server.cache.keys import ActiveKeys
from server.cache.quotas import ActiveQuotas, Exchange
from server.cache.set_rules import ActiveSetRules
from server.cache.support import ActiveSupport
from server.changes import Changes
from server.door import Door
from server.engine.decoder import Decoder
from server.engine.opening import OpenElsewhere
from server.engine.registry import Backbones, BundleChange
from server.engine.shared.remote import RemoteEngine
from server.errors import HeadstartError, Overloaded
from server.inference_counts import InferenceCounts
from server.leaving import Leaving
from server.locks import KeyLocks
from server.metrics import Metrics
from server.peers import Owner, Workers
from server.pools import Pools, ScoreBudget
from server.seat import Seat
from server.settings import InvalidSettings, Settings
from server.shared_times import SharedTimes
from server.store.audit_writer import AuditWriter
from server.store.capture_records import NewCapture
from server.store.capture_writer import CaptureWriter
from server.store.event_records import EventBounds
from server.store.records import TaskKey
from server.store.shared_changes import SharedChanges
from server.store.store import Store, sqlite_url

if TYPE_CHECKING:
    from server.cache.tokens import Tokens

_log = logging.getLogger(__name__)

_WRITERS = 4  # threads that change a database which takes several changes at once
_INSIDE = 8  # The door lets in this fraction of the images that are admitted: enough to keep every stage busy.
_WAITING_CHANGES = 256  # most changes of one task that hold or await its lock


class Service:
    """The store, the backbones, the decoder, the heads in memory and the pools of threads.

    Args:
        seat: among several processes. A worker only reads the store, and answers predictions.
        leaving: tells whether the server is about to stop; None if nobody says so before.
        elsewhere: opens engines in other processes than those of the seat; None if there are none.

    Raises:
        BundleError, EngineError: the bundle for new tasks cannot be opened.
        StoreError: the data directory cannot be used, or another server is using it.
        InvalidSettings: other machines could reach the server, and it has no key; OIDC tokens cannot be checked; or the file of
            the audit cannot be written.
    """

    def __init__(
        self,
        settings: Settings,
        seat: Seat | None = None,
        leaving: Leaving | None = None,
        elsewhere: OpenElsewhere | None = None,
    ) -> None:
        self.settings = settings
        self.leaving = leaving or Leaving()
        self.metrics = Metrics()
        self.inferred = InferenceCounts()
        self._owner: Owner | None = None
        self._workers: Workers | None = None
        self._changes = changes = Changes(seat.changes if seat else None)
        self._others: SharedChanges | None = None
        self._declined: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        url = settings.database_url or sqlite_url(settings.data_dir)
        if seat is None or seat.owns:
            bounds = EventBounds(settings.quality_drop, settings.event_days)
            self.store = Store.open(url, bounds, changes, settings.images_url)
            changes.count_all()
            self._others = self.store.hear(self.drop, self._load_keys, self._forget_everywhere)
        else:
            self.store = Store.follow(url, changes)
            self._owner = Owner(seat, self.metrics, self._forget, self._follow_bundle, self._drop_key, self._forget_all)
        try:
            self.keys = ActiveKeys(self.store, changes, self._owner.note_keys if self._owner else None)
            self.quotas = ActiveQuotas(self.store, SharedTimes(seat.rates) if seat else None, self._exchange())
            self.tokens = _tokens(settings)
            if settings.exposed and not self.keys.required and self.tokens is None:
                raise InvalidSettings(
                    f"host {settings.host} can be reached from other machines and there is no key; make one with "
                    "headstart-server keys create, use 127.0.0.1, or say --insecure if the network is trusted"
                )
            self.audit = AuditWriter(
                self.store, self.metrics, settings.audit_log, settings.audit_days, self._owner.tell_audit if self._owner else None
            )
            if seat and settings.shares_engine:
                elsewhere = partial(RemoteEngine, path=seat.engines)
            self.backbones = Backbones(settings, self.metrics, self.store, elsewhere)
        except BaseException:
            self.store.close()
            raise
        self._captures = None if self._owner else CaptureWriter(self.store, self.metrics, settings.keep_images)
        if seat is not None and self._captures is not None:
            self._workers = Workers(
                seat,
                self._captures.offer,
                self.store.keys.note_use,
                self.audit.take,
                self.quotas.put_back,
                self.inferred.add,
            )
            self.backbones.on_change = self._workers.tell_bundle
        self.heads = ActiveHeads(self.store, self.metrics)
        self.support = ActiveSupport(self.store)
        self.set_rules = ActiveSetRules(self.store)
        self.key_locks = KeyLocks()  # by tenant and idempotency key: a retry waits for a first try that is still running
        # A change is fitted from the version before it. So the changes of a task wait for each other instead of fitting in vain.
        self._task_locks = KeyLocks()
        self.decoder = Decoder(settings.image_limits)
        self.pools = Pools(_WRITERS if self.store.is_shared else 1)
        queue = settings.queue_images
        self.door = Door(max(1, queue // _INSIDE), queue, settings.queue_seconds, self.backbones.has_room)
        self.scores = ScoreBudget(settings.max_scores)
        if self._others:
            self._others.start()
        self.keys.start(also=self._look)
        self.audit.start()

    @asynccontextmanager
    async def changing(self, key: TaskKey) -> AsyncIterator[None]:
        """Waits for the earlier changes of a task, then holds back later ones for the length of the block.

        The block must span a whole change, from reading the support set until the new version is stored.

        Raises:
            Overloaded: too many changes of the task wait already.
        """
        if (waiting := self._task_locks.users(key)) >= _WAITING_CHANGES:
            raise Overloaded(f"{waiting} changes of this task are waiting for each other; try again")
        async with self._task_locks.hold(key):
            yield

    @property
    def captures(self) -> CaptureWriter:
        """The writer of captures. A worker has none."""
        assert self._captures is not None
        return self._captures

    def address(self, task: str) -> str:
        """Returns the path at which clients find a task."""
        return f"{self.settings.root}/v1/tasks/{task}"

    def drop(self, key: TaskKey, versions: Sequence[int]) -> None:
        """Drops removed versions from memory. Only requests under way may still hold something of them.

        Workers do so within some milliseconds. They answer to none of these versions from its removal on.
        """
        if versions:
            self._forget(key, versions)
            if self._workers:
                self._workers.drop(key, versions)

    def drop_key(self, tenant: str, id_: str) -> bool:
        """Lets a key open nothing from now on, in workers within milliseconds. Returns False if the tenant has no such key."""
        if self._workers:
            self._workers.drop_key(tenant, id_)
        return self.keys.drop(tenant, id_)

    def offer_captures(self, taken: Sequence[NewCapture]) -> None:
        """Has captures stored soon. Those that there is no room for are dropped and counted. Never blocks."""
        (self._owner.offer_captures if self._owner else self.captures.offer)(taken)

    def start(self) -> None:
        """Begins to follow other processes. Call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        if self._owner:
            self._owner.start()

    def has_heard(self, transaction: int) -> bool:
        """Returns whether this process knows what that transaction changed, whichever server made it. Never blocks."""
        if self._others:
            return self._others.knows(transaction)
        return transaction < self._changes.settled or not self._changes.settled

    async def hear(self, transaction: int) -> None:
        """Waits until this process knows what that transaction changed.

        Raises:
            StorageFailed: the database cannot be read.
        """
        if self._others and not self.has_heard(transaction):
            await self.pools.in_thread(self._others.catch_up, transaction)

    def _look(self) -> None:
        """Looks for what other processes chose or used, and tells the owner what was used here."""
        self.quotas.look()
        if self._owner is not None and (counts := self.inferred.taken()):
            self._owner.tell_inferred(counts)
        if self._owner is None and self.store.choices is not None and self._loop is not None:
            chosen = self.store.choices.default_bundle()
            if chosen == self.backbones.default_id:
                self._declined = None
            elif chosen is not None and chosen != self._declined:
                self._declined = chosen  # It is not tried every second if this server cannot open it.
                self._follow_bundle("default", chosen)

    def _exchange(self) -> Exchange | None:
        """Returns what tells the other servers which rates are used; None where no other server shares the database."""
        if self.store.rates is None:
            return None
        return self._owner.tell_rates if self._owner else self.store.rates.exchange

    def _load_keys(self) -> None:
        self.keys.load()

    def _forget_everywhere(self) -> None:
        self._forget_all()
        if self._workers:
            self._workers.drop_all()

    def _forget_all(self) -> None:
        self.heads.clear()
        self.support.clear()
        self.set_rules.clear()

    def _drop_key(self, tenant: str, id_: str) -> None:
        self.keys.drop(tenant, id_)

    def _follow_bundle(self, change: BundleChange, id_: str) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._follow(change, id_), self._loop)

    async def _follow(self, change: BundleChange, id_: str) -> None:
        try:
            await self.backbones.follow(change, id_)
        except HeadstartError as error:
            _log.warning("backbone %s is %s in another process but not here: %s", id_, change, error.detail)

    def _forget(self, key: TaskKey, versions: Sequence[int]) -> None:
        self.heads.drop(key, versions)
        self.support.drop(key, versions)
        self.set_rules.drop(key, versions)

    def close(self) -> None:
        """Finishes the work under way, then closes the engines and the store."""
        self.backbones.stop()
        if self._others:
            self._others.close()
        self.decoder.close()
        self.pools.close()
        if self._workers:
            self._workers.sync()
            self._workers.close()
        if self._captures:
            self._captures.close()
        self.keys.close()
        self.audit.close()
        if self._owner:
            self._owner.close()
        self.store.close()


def _tokens(settings: Settings) -> "Tokens | None":
    """Returns what checks OIDC tokens; None if the settings name no issuer."""
    if settings.oidc is None:
        return None
    try:
        from server.cache.tokens import Tokens
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"jwt", "cryptography"}:
            raise
        raise InvalidSettings("oidc-issuer needs PyJWT and cryptography: pip install '.[oidc]'") from error
    return Tokens(settings)
