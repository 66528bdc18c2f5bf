"""The tasks of a soak and the client of one of its threads. Every request is counted by kind and status."""

import random
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

Labelled = list[tuple[str, bytes]]

_LARGE = 0.02


@dataclass(eq=False)
class Task:
    """A stored task.

    Attributes:
        examples: the size of its active support set.
        gone: True from just before it is deleted: then a 404 is expected.
    """

    path: str
    examples: int
    gone: bool = False

    @property
    def id(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


class Pool:
    """The tasks there are. One thread at a time changes a task, and any number ask about it."""

    def __init__(self) -> None:
        self._all: list[Task] = []
        self._taken: set[Task] = set()
        self._lock = threading.Lock()

    def add(self, task: Task) -> None:
        """Lets other threads use a task from now on."""
        with self._lock:
            self._all.append(task)

    def remove(self, task: Task) -> None:
        """Marks a task that is about to be deleted."""
        with self._lock:
            task.gone = True
            self._all.remove(task)

    def any(self, rng: random.Random) -> Task:
        """Returns some task, which others may change or delete meanwhile."""
        with self._lock:
            return rng.choice(self._all)

    @contextmanager
    def borrow(self, rng: random.Random, count: int = 1, oldest: bool = False) -> Iterator[list[Task]]:
        """Yields tasks that nobody else changes meanwhile, fewer if so many are not free."""
        with self._lock:
            free = [task for task in self._all if task not in self._taken]
            chosen = free[:count] if oldest else rng.sample(free, min(count, len(free)))
            self._taken.update(chosen)
        try:
            yield chosen
        finally:
            with self._lock:
                self._taken.difference_update(chosen)


@dataclass
class Tally:
    """Requests by kind and status, or by the name of a failure of the connection.

    Attributes:
        unexpected: those of them that should not have been, with the beginning of one answer each.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    unexpected: Counter[tuple[str, str]] = field(default_factory=Counter)
    said: dict[tuple[str, str], str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str, outcome: str, fine: bool, text: str = "") -> None:
        """Counts a request."""
        with self._lock:
            self.counts[kind, outcome] += 1
            if not fine:
                self.unexpected[kind, outcome] += 1
                self.said.setdefault((kind, outcome), text[:300])


class Unexpected(Exception):
    """An answer that should not have been; it is counted."""


class Caller:
    """One thread's client."""

    def __init__(
        self, url: str, token: str, pool: Pool, tally: Tally, images: Labelled, photographs: Sequence[bytes], seed: int
    ) -> None:
        self.url = url
        self.token = token
        self.pool = pool
        self.tally = tally
        self.images = images
        self._photographs = photographs
        self.rng = random.Random(seed)  # noqa: S311 -- nothing secret
        self.last_event: str | None = None
        self._api = httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {token}"})

    def ask(
        self, kind: str, method: str, path: str, expected: Collection[int] = (200,), task: Task | None = None, **request: Any
    ) -> httpx.Response:
        """Sends a request.

        Args:
            task: may be answered 404 once it is deleted.

        Raises:
            Unexpected: the answer is none of those that are expected, or there is none.
        """
        try:
            answer = self._api.request(method, path, **request)
        except httpx.TransportError as error:
            self.tally.count(kind, type(error).__name__, False, str(error))
            raise Unexpected from error
        fine = answer.status_code in expected or (answer.status_code == 404 and task is not None and task.gone)
        self.tally.count(kind, str(answer.status_code), fine, answer.text if not fine else "")
        if answer.status_code not in expected:
            raise Unexpected
        return answer

    def support(self, shots: int) -> Labelled:
        """Returns so many labelled images of each class."""
        by_label: dict[str, list[bytes]] = {}
        for label, image in self.images:
            by_label.setdefault(label, []).append(image)
        return [(label, image) for label, some in by_label.items() for image in self.rng.sample(some, shots)]

    def image(self) -> bytes:
        """Returns some image, and now and then a large one."""
        return self.rng.choice(self._photographs) if self.rng.random() < _LARGE else self.rng.choice(self.images)[1]

    def close(self) -> None:
        """Closes the connections."""
        self._api.close()
