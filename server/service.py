"""The parts that the journeys use, opened together and closed together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from server.cache.heads import ActiveHeads
from server.cache.keys import ActiveKeys
from server.cache.quotas import ActiveQuotas
from server.cache.set_rules import ActiveSetRules
from server.cache.support import ActiveSupport
from server.engine.decoder import Decoder
from server.engine.registry import Backbones
from server.errors import Overloaded
from server.locks import KeyLocks
from server.metrics import Metrics
from server.pools import Pools, ScoreBudget
from server.settings import InvalidSettings, Settings
from server.store.capture_writer import CaptureWriter
from server.store.event_records import EventBounds
from server.store.records import TaskKey
from server.store.store import Store, sqlite_url

_WAITING_CHANGES = 256  # most changes of one task that hold or await its lock


class Service:
    """The store, the backbones, the decoder, the heads in memory and the pools of threads.

    Raises:
        BundleError, EngineError: the bundle for new tasks cannot be opened.
        StoreError: the data directory cannot be used, or another server is using it.
        InvalidSettings: other machines could reach the server, and it has no key.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        bounds = EventBounds(settings.quality_drop, settings.event_days)
        self.store = Store.open(settings.database_url or sqlite_url(settings.data_dir), bounds)
        try:
            self.keys = ActiveKeys(self.store)
            self.quotas = ActiveQuotas(self.store)
            if settings.exposed and not self.keys.required:
                raise InvalidSettings(
                    f"host {settings.host} can be reached from other machines and there is no key; make one with "
                    "headstart-server keys create, use 127.0.0.1, or say --insecure if the network is trusted"
                )
            self.backbones = Backbones(settings, self.metrics, self.store)
        except BaseException:
            self.store.close()
            raise
        self.captures = CaptureWriter(self.store, self.metrics, settings.keep_images)
        self.heads = ActiveHeads(self.store, self.metrics)
        self.support = ActiveSupport(self.store)
        self.set_rules = ActiveSetRules(self.store)
        self.key_locks = KeyLocks()  # by tenant and idempotency key: a retry waits for a first try that is still running
        # A change is fitted from the version before it. So the changes of a task wait for each other instead of fitting in vain.
        self._task_locks = KeyLocks()
        self.decoder = Decoder(settings.image_limits)
        self.pools = Pools()
        self.scores = ScoreBudget(settings.max_scores)
        self.keys.start(also=self.quotas.load)

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

    def address(self, task: str) -> str:
        """Returns the path at which clients find a task."""
        return f"{self.settings.root}/v1/tasks/{task}"

    def drop(self, key: TaskKey, versions: Sequence[int]) -> None:
        """Drops removed versions from memory. Only requests under way may still hold something of them."""
        self.heads.drop(key, versions)
        self.support.drop(key, versions)
        self.set_rules.drop(key, versions)

    def close(self) -> None:
        """Finishes the work under way, then closes the engines and the store."""
        self.backbones.stop()
        self.decoder.close()
        self.pools.close()
        self.captures.close()
        self.keys.close()
        self.store.close()
