"""The faults that the servers of a drill suffer, and how each is mended."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.drill.network import Net, Network
from benchmarks.drill.postgres import Cluster
from benchmarks.drill.servers import Replica, next_release
from benchmarks.server_process import ROOT

_SETTLE_SECONDS = 2.0  # after a replica has begun to serve, until HAProxy knows it for sure


@dataclass
class Site:
    """The parts that faults happen to.

    Attributes:
        folder: for the trees of later releases.
        release: the tree of the latest release.
    """

    network: Network
    cluster: Cluster
    replicas: Sequence[Replica]
    folder: Path
    release: Path = ROOT
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


def _cut(site: Site, nodes: Sequence[str], net: Net = "back") -> Acting:
    for node in nodes:
        site.network.cut(node, net)
    yield
    for node in nodes:
        site.network.join(node, net)
    yield


def _replica_slow_to_database(site: Site) -> Acting:
    replica = site.some()
    site.network.slow(replica.node, "back", "64kbit")
    yield
    site.network.hasten(replica.node, "back")
    yield


def _one_by_one(site: Site, *, upgrade: bool) -> Acting:
    if upgrade:
        site.release = next_release(site.release, site.folder)
    yield
    for replica in site.replicas:
        replica.stop()
        replica.tree = site.release
        replica.start()
        time.sleep(_SETTLE_SECONDS)
    yield


FAULTS: Sequence[Fault] = (
    Fault("replica killed and started again", _replica_killed, 3.0, partial=True),
    Fault("rolling restart", partial(_one_by_one, upgrade=False), 0.0, harmless=True),
    Fault("fail-over to the standby", _failed_over, 3.0),
    Fault("replica cut from PostgreSQL", lambda site: _cut(site, [site.some().node]), 10.0, partial=True),
    Fault("PostgreSQL restarted", _database_restarted, 0.0),
    Fault("replica cut from HAProxy", lambda site: _cut(site, [site.some().node], "front"), 10.0, partial=True),
    Fault("all replicas cut from PostgreSQL", lambda site: _cut(site, [each.node for each in site.replicas]), 10.0),
    Fault("replica slow to PostgreSQL", _replica_slow_to_database, 10.0, partial=True),
    Fault("PostgreSQL killed and started again", _database_killed, 2.0),
    Fault("standby cut from the primary", lambda site: _cut(site, [site.cluster.standby]), 8.0),
    Fault("rolling upgrade with a migration", partial(_one_by_one, upgrade=True), 0.0, harmless=True),
)
