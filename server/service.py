"""What the journeys work with, opened together and closed together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from server.cache.heads import ActiveHeads
from server.cache.support import ActiveSupport
from server.engine.decoder import Decoder
from server.engine.registry import Backbones
from server.errors import Overloaded
from server.locks import KeyLocks
from server.metrics import Metrics
from server.pools import Pools, ScoreBudget
from server.settings import Settings
from server.store.records import TaskKey
from server.store.store import Store, sqlite_url

_WAITING_CHANGES = 256  # of one task


class Service:
    """The store, the backbones, the decoder, the heads in memory and the pools of threads.

    Raises:
        BundleError, EngineError: the bundle for new tasks cannot be opened.
        StoreError: the data directory cannot be used, or another server is using it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.store = Store.open(settings.database_url or sqlite_url(settings.data_dir))
        try:
            self.backbones = Backbones(settings, self.metrics, self.store)
        except BaseException:
            self.store.close()
            raise
        self.heads = ActiveHeads(self.store, self.metrics)
        self.support = ActiveSupport(self.store)
        self.key_locks = KeyLocks()  # of idempotency keys: a retry that overtakes its first try waits for it
        # A change is fitted from the version before it: those of one task wait for each other instead of fitting in vain.
        self._task_locks = KeyLocks()
        self.decoder = Decoder(settings.image_limits)
        self.pools = Pools()
        self.scores = ScoreBudget(settings.max_scores)

    @asynccontextmanager
    async def changing(self, key: TaskKey) -> AsyncIterator[None]:
        """Waits for the changes of a task that came before; to be held from the reading of its support set until it is stored.

        Raises:
            Overloaded: too many wait already.
        """
        if (waiting := self._task_locks.users(key)) >= _WAITING_CHANGES:
            raise Overloaded(f"{waiting} changes of this task are waiting for each other; try again")
        async with self._task_locks.hold(key):
            yield

    def address(self, task: str) -> str:
        """The path at which clients find a task."""
        return f"{self.settings.root}/v1/tasks/{task}"

    def drop(self, key: TaskKey, versions: Sequence[int]) -> None:
        """To be told which versions have been removed: nothing of them stays in memory but what requests under way hold."""
        self.heads.drop(key, versions)
        self.support.drop(key, versions)

    def close(self) -> None:
        """Finishes what is under way, then closes engines and store."""
        self.backbones.stop()
        self.decoder.close()
        self.pools.close()
        self.store.close()
