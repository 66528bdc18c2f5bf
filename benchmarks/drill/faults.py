"""The faults that the servers of a drill suffer, and how each is mended."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.drill.network import Net, Network
from benchmarks.drill.postgres import Cluster
from benchmarks.drill.servers import Replica

_SETTLE_SECONDS = 2.0  # after a replica has begun to serve, until HAProxy knows it for sure


@dataclass
class Site:
    """The parts that faults happen to.

    Attributes:
        release: the tree of a later release, with one migration more.
    """

    network: Network
    cluster: Cluster
    replicas: Sequence[Replica]
    release: Path
    rng: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 -- nothing secret

    def some(self) -> Replica:
        """Returns one of the replicas."""
        return self.rng.choice(self.replicas)


Acting = Iterator[None]
"""Does the harm, yields while it lasts, mends it, and yields again. What comes then is no part of the repair."""


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        act: does it to a site.
        seconds: for which it lasts.
        harmless: whether no request may fail.
        partial: whether other replicas can answer while it lasts.
    """

    name: str
    act: Callable[[Site], Acting]
    seconds: float
    harmless: bool = False
    partial: bool = False


def _replica_killed(site: Site) -> Acting:
    replica = site.some()
    replica.kill()
    yield
    replica.start()
    yield


def _database_restarted(site: Site) -> Acting:
    site.cluster.stop(site.cluster.primary)
    yield
    site.cluster.start(site.cluster.primary)
    yield


def _database_killed(site: Site) -> Acting:
    site.cluster.kill(site.cluster.primary)
    yield
    site.cluster.start(site.cluster.primary)
    yield


def _failed_over(site: Site) -> Acting:
    site.cluster.kill(site.cluster.primary)
    yield
    site.cluster.promote()
    yield
    site.cluster.add_standby()


def _replica_cut(site: Site, net: Net) -> Acting:
    replica = site.some()
    site.network.cut(replica.node, net)
    yield
    site.network.join(replica.node, net)
    yield


def _replica_slow_to_database(site: Site) -> Acting:
    replica = site.some()
    site.network.slow(replica.node, "back", "64kbit")
    yield
    site.network.hasten(replica.node, "back")
    yield


def _all_cut_from_database(site: Site) -> Acting:
    for replica in site.replicas:
        site.network.cut(replica.node, "back")
    yield
    for replica in site.replicas:
        site.network.join(replica.node, "back")
    yield


def _standby_cut(site: Site) -> Acting:
    site.network.cut(site.cluster.standby, "back")
    yield
    site.network.join(site.cluster.standby, "back")
    yield


def _rolling_restart(site: Site) -> Acting:
    yield
    for replica in site.replicas:
        replica.stop()
        replica.start()
        time.sleep(_SETTLE_SECONDS)
    yield


def _rolling_upgrade(site: Site) -> Acting:
    yield
    for replica in site.replicas:
        replica.stop()
        replica.tree = site.release
        replica.start()
        time.sleep(_SETTLE_SECONDS)
    yield


FAULTS: Sequence[Fault] = (
    Fault("replica killed and started again", _replica_killed, 3.0, partial=True),
    Fault("rolling restart", _rolling_restart, 0.0, harmless=True),
    Fault("fail-over to the standby", _failed_over, 3.0),
    Fault("replica cut from PostgreSQL", partial(_replica_cut, net="back"), 10.0, partial=True),
    Fault("PostgreSQL restarted", _database_restarted, 0.0),
    Fault("replica cut from HAProxy", partial(_replica_cut, net="front"), 10.0, partial=True),
    Fault("all replicas cut from PostgreSQL", _all_cut_from_database, 10.0),
    Fault("replica slow to PostgreSQL", _replica_slow_to_database, 10.0, partial=True),
    Fault("PostgreSQL killed and started again", _database_killed, 2.0),
    Fault("standby cut from the primary", _standby_cut, 8.0),
    Fault("rolling upgrade with a migration", _rolling_upgrade, 0.0, harmless=True),
)
