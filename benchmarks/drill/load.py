"""The load of a drill: what its clients do at a steady rate, and what they learn from the answers."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks.drill.client import Answer, Client, GaveUp
from benchmarks.drill.history import Step, Task, Taught
from benchmarks.drill.postgres import Cluster
from models.heads.head import Head

_THREADS = 128
_HEAD_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Predicted:
    """An answered prediction.

    Attributes:
        version: None where there was no such task.
        token: that the request brought; 0 if none.
        image: the position of the query image.
    """

    task: Task
    version: int | None
    sent: float
    received: float
    token: int
    image: int
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Done:
    """An action.

    Attributes:
        due, ended: on the monotonic clock.
        fine: whether each of its requests was answered at the first try, and not by a failure.
    """

    kind: str
    due: float
    ended: float
    fine: bool


class Load:
    """The load, and what all clients of a drill know together. Thread-safe.

    Attributes:
        tasks: those that are there.
        made: all that were created.
        token: the greatest that a client has got.
        forgotten: the sha256 of images that were forgotten.
        wrong: what should not have been, a line each.
    """

    def __init__(self, client: Client, cluster: Cluster, queries: Sequence[bytes]) -> None:
        self.client = client
        self.queries = queries
        self.rng = random.Random(0)  # noqa: S311 -- nothing secret
        self.tasks: list[Task] = []
        self.made: list[Task] = []
        self.deleted: list[Task] = []
        self.predicted: list[Predicted] = []
        self.done: list[Done] = []
        self.forgotten: list[str] = []
        self.wrong: list[str] = []
        self.token = 0
        self._cluster = cluster
        self._lock = threading.Lock()

    def hears(self, token: int) -> None:
        """Notes the token of a change that was acknowledged."""
        with self._lock:
            self.token = max(self.token, token)

    def fails(self, line: str) -> None:
        """Notes what should not have been."""
        with self._lock:
            self.wrong.append(line)

    def any_task(self) -> Task:
        """Returns some task, which others may change or delete meanwhile."""
        with self._lock:
            return self.rng.choice(self.tasks)

    @contextmanager
    def changing(self) -> Iterator[Task | None]:
        """Yields a task that nobody else changes meanwhile; None if there is none."""
        with self._lock:
            some = self.rng.sample(self.tasks, len(self.tasks))
        for task in some:
            if task.changing.acquire(blocking=False):
                try:
                    yield None if task.open or task.version is None else task
                except Exception:
                    task.open = True
                    raise
                finally:
                    task.changing.release()
                return
        yield None

    def acknowledged(self, task: Task, version: int, tries: Sequence[Answer], token: int, taught: Taught) -> None:
        """Notes that a version became active."""
        task.taught[version] = taught
        task.heads[version] = self._head(task, version)
        task.steps.append(Step(version, tries[0].sent, tries[-1].received, token))
        self.hears(token)

    def predict(self, task: Task, with_token: bool, kind: str = "predict") -> None:
        """Asks what one of the query images shows."""
        image = self.rng.randrange(len(self.queries))
        token = self.token if with_token else 0
        headers = {"Content-Type": "image/png", **({"Headstart-At-Least": str(token)} if token else {})}
        response, answer = self.client.ask(
            kind, "POST", f"{task.path}/predict?unknown=ignore", content=self.queries[image], headers=headers
        )
        if response is None or response.status_code not in (200, 404):
            return
        body: dict[str, Any] = response.json() if response.status_code == 200 else {}
        scores = body["predictions"][0]["scores"] if body else {}
        self.predicted.append(Predicted(task, body.get("version"), answer.sent, answer.received, token, image, scores))

    def run(self, mix: Sequence[tuple[float, Callable[["Load"], None]]], rate: float, stop: threading.Event) -> None:
        """Begins `rate` actions a second until the stop, whatever the servers do, and returns when all have ended."""
        weights, actions = zip(*mix, strict=True)
        began, count = time.monotonic(), 0
        with ThreadPoolExecutor(_THREADS) as pool:
            while not stop.wait(max(0.0, began + count / rate - time.monotonic())):
                pool.submit(self._act, self.rng.choices(actions, weights)[0], began + count / rate)
                count += 1

    def _act(self, action: Callable[["Load"], None], due: float) -> None:
        self.client.mine.clear()
        try:
            action(self)
        except GaveUp as error:
            self.fails(str(error))
        except Exception as error:  # A drill goes on, and tells at its end.
            self.fails(f"{action.__name__}: {error!r}")
        fine = all(answer.certain and answer.status < 500 for answer in self.client.mine)
        self.done.append(Done(action.__name__, due, time.monotonic(), fine))

    def _head(self, task: Task, version: int) -> Head:
        """Returns a version's head as the database has it, past all servers."""
        until = time.monotonic() + _HEAD_SECONDS
        while True:
            try:
                rows = self._cluster.ask("SELECT head FROM versions WHERE task = %s AND number = %s", (task.id, version))
                if rows:
                    return Head.from_bytes(rows[0][0])
                raise GaveUp(f"{task.id} has no version {version} in the database, although it was acknowledged")
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
