"""What does each further server on the same PostgreSQL add, and what do they share that could limit them?

    python -m benchmarks.replicas --json replicas.json

One, two and three servers, each in a network namespace, with an engine that costs nothing, on a PostgreSQL with a synchronous
standby. Their programs share the cores of this machine. So the figure is not how many requests they answer a second, but what a
request costs: processor time of the servers and of PostgreSQL, for predictions, for additions of an example, for new names of
tasks, and of servers that are not asked anything. If nothing shared limits them, a request costs the same whatever their number.
A new name is the smallest change. All tasks are of one tenant, so new names a second are how many changes it can make. Needs
root, HAProxy and PostgreSQL.
"""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.drill.network import Network
from benchmarks.drill.postgres import Cluster, missing
from benchmarks.drill.servers import Replica
from benchmarks.serving.load import LoadGenerator, patch, post_form, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, processor_seconds, sample_images, support_set

_CONNECTIONS = 4  # to each server
_TASKS = 8  # of each server
_WARM = 50


@dataclass(frozen=True)
class Cost:
    """The cost of something with so many servers.

    Attributes:
        kind: `idle`, `predict`, `add` or `rename`.
        servers: how many there were.
        server: milliseconds of processor time of all servers, a request; when idle a second.
        database: likewise of the PostgreSQL primary.
        transactions: that PostgreSQL committed a second.
        rate: requests a second, of all servers together.
    """

    kind: str
    servers: int
    server: float
    database: float
    transactions: float
    rate: float


class Servers:
    """Some servers on one database, and the load on each."""

    def __init__(self, cluster: Cluster, replicas: Sequence[Replica], opened: ExitStack) -> None:
        self._cluster = cluster
        self._replicas = replicas
        self._loads = [opened.enter_context(LoadGenerator(each.url)) for each in replicas]
        self._pool = opened.enter_context(ThreadPoolExecutor(len(replicas)))
        with httpx.Client(base_url=replicas[0].url, timeout=60) as api:
            self._tasks = [[create_task(api, support_set(1)) for _ in range(_TASKS)] for _ in replicas]

    def idle(self, seconds: float) -> Cost:
        """Asks nothing for so long."""
        return self._cost("idle", seconds, lambda: time.sleep(seconds))

    def predict(self, count: int) -> Cost:
        """Sends so many predictions to each server."""
        jobs = [
            [request for task in tasks for request in post_images(f"{task}/predict", sample_images())] for tasks in self._tasks
        ]
        return self._load("predict", jobs, count, 200)

    def add(self, count: int) -> Cost:
        """Adds so many examples at each server."""
        images = support_set()
        jobs = [
            [
                post_form(f"{task}/examples", [("images", ("a.png", image, "image/png"))], {"labels": label})
                for task in tasks
                for label, image in images
            ]
            for tasks in self._tasks
        ]
        return self._load("add", jobs, count, 201)

    def rename(self, count: int) -> Cost:
        """Gives tasks so many names at each server."""
        names = [f'{{"name": "birds {number}"}}'.encode() for number in range(2)]
        return self._load(
            "rename", [[patch(task, name) for name in names for task in tasks] for tasks in self._tasks], count, 200
        )

    def _load(self, kind: str, jobs: Sequence[Sequence[bytes]], count: int, status: int) -> Cost:
        def send(number: int, requests: int) -> None:
            answered = self._loads[number].closed(jobs[number], _CONNECTIONS, requests)
            if answered.count(status) != requests:
                sys.exit(f"some of {requests} requests failed: {kind}")

        def send_all(requests: int) -> None:
            list(self._pool.map(send, range(len(jobs)), [requests] * len(jobs)))

        send_all(min(count, _WARM))
        return self._cost(kind, count * len(jobs), lambda: send_all(count))

    def _cost(self, kind: str, divisor: float, work: Callable[[], None]) -> Cost:
        began, before = time.perf_counter(), self._figures()
        work()
        seconds, after = time.perf_counter() - began, self._figures()
        server, database, transactions = (now - then for now, then in zip(after, before, strict=True))
        rate = 0.0 if kind == "idle" else divisor / seconds
        return Cost(kind, len(self._replicas), 1e3 * server / divisor, 1e3 * database / divisor, transactions / seconds, rate)

    def _figures(self) -> tuple[float, float, float]:
        self._cluster.ask("SELECT pg_stat_force_next_flush()")
        ((transactions,),) = self._cluster.ask("SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'")
        servers = sum(processor_seconds(each.process.pid) for each in self._replicas if each.process is not None)
        return servers, self._cluster.processor_seconds(), float(transactions)


def main() -> None:
    parser = benchmark_parser("replicas", __doc__, seconds=10.0)
    parser.add_argument(
        "--requests", type=int, default=400, help="predictions and new names at each server (default %(default)s)"
    )
    parser.add_argument("--additions", type=int, default=60, help="additions at each server (default %(default)s)")
    parser.add_argument("--servers", type=int, nargs="+", default=[1, 2, 3], choices=(1, 2, 3), help="(default %(default)s)")
    arguments = parser.parse_args()
    if reason := missing():
        sys.exit(f"no servers here: {reason}")
    costs = []
    print(f"{'':<10}{'servers':>8}{'server ms':>11}{'PostgreSQL ms':>15}{'commits/s':>11}{'a second':>10}")
    with ExitStack() as whole:
        folder = Path(whole.enter_context(TemporaryDirectory(prefix="headstart-replicas-")))
        folder.chmod(0o755)
        network = whole.enter_context(Network())
        cluster = whole.enter_context(Cluster(network, folder / "pg"))
        for count in arguments.servers:
            with ExitStack() as opened:
                replicas = [Replica(network, f"r{number + 1}", folder, cluster.url) for number in range(count)]
                for replica in replicas:
                    opened.callback(replica.close)
                    replica.start()
                servers = Servers(cluster, replicas, opened)
                for cost in (
                    servers.idle(arguments.seconds),
                    servers.predict(arguments.requests),
                    servers.add(arguments.additions),
                    servers.rename(arguments.requests),
                ):
                    costs.append(cost)
                    shown = f"{cost.server:>11.2f}{cost.database:>15.2f}{cost.transactions:>11.1f}{cost.rate:>10.1f}"
                    print(f"{cost.kind:<10}{cost.servers:>8}{shown}", flush=True)
    write_json(arguments.json, [asdict(each) for each in costs])


if __name__ == "__main__":
    main()
