"""Starts the processes of a server with workers, replaces those that end, and stops them in order.

It takes no connection and imports little, so that nothing ends it. The sockets are its own: connections that wait at one survive
the process that was to take them.

- SIGTERM and SIGINT stop the workers, each when it has answered what it took, then the owner, and then the device.
- SIGHUP replaces the device, the owner and each worker, one after another. Each reads its certificate anew.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.processor import available_cores
from server.leaving import Leaving
from server.listening import local_listener, shared_listener
from server.seat import DEVICE, LEAVING, OWNER, Seat, name_of
from server.settings import Settings
from server.shared_folder import shared_folder

_PATIENCE_SECONDS = 10.0  # that a process gets to end beyond the time for its requests
_START_SECONDS = 300.0  # that a process gets until it serves
_SETTLED_SECONDS = 30.0  # A process that ended sooner is replaced after a pause, which doubles.
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0

_log = logging.getLogger(__name__)


class _Ended(Exception):
    """A process ended before it served.

    Attributes:
        status: its exit status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"a process ended with status {status} before it served")
        self.status = status


def supervise(settings: Settings) -> int:
    """Serves with an owner and `settings.processes` workers until a signal stops it.

    Returns:
        The exit status: that of a process that could not start, else 0.
    """
    with shared_folder(settings.processes + 2) as folder:
        return asyncio.run(_Supervisor(settings, folder).run())


class _Supervisor:
    """The processes of a server, by the number of their seats.

    Args:
        folder: of what they share.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._seconds_to_stop = settings.shutdown_timeout + _PATIENCE_SECONDS
        self._workers = range(1, settings.processes + 1)
        self._folder = folder
        self._metrics = folder / "metrics"
        self._metrics.mkdir()
        self._cores = _shares(settings.processes)
        self._listeners = {OWNER: local_listener(folder / "requests")}
        self._first = (DEVICE, OWNER) if settings.shares_engine else (OWNER,)  # in the order in which they start
        if settings.shares_engine:
            self._listeners[DEVICE] = local_listener(folder / "engines")
        for number in self._workers:
            self._listeners[number] = shared_listener(settings)
        # Nobody writes to this pipe. It ends with this process, however that ends.
        self._parent, self._alive = os.pipe()
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._others: set[asyncio.subprocess.Process] = set()  # replaced, and not yet ended
        self._stopping = asyncio.Event()
        self._renewing = asyncio.Lock()
        self._changing = {number: asyncio.Lock() for number in (*self._first, *self._workers)}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Starts everything, keeps it running until a signal comes, and stops it. Returns the exit status."""
        loop = asyncio.get_running_loop()
        for told in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(told, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # until there is something to replace
        starting = asyncio.ensure_future(self._start_all())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        status = 0
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        elif isinstance(ended := starting.exception(), _Ended):  # It has said why.
            status = ended.status or 1
        else:
            starting.result()
            settings = self._settings
            address = f"{settings.scheme}://{settings.host}:{settings.port}"
            _log.info("serving at %s with %d workers", address, len(self._workers))
            for number in self._processes:
                self._begin(self._keep(number))
            loop.add_signal_handler(signal.SIGHUP, lambda: self._begin(self._renew()))
            await stopping
            await self._drain()
        await self._stop_all()
        for listener in self._listeners.values():
            listener.close()
        return status

    async def _start_all(self) -> None:
        for number in self._first:
            await self._seated(number)
        for failure in await asyncio.gather(*map(self._seated, self._workers), return_exceptions=True):
            if failure is not None:
                raise failure

    async def _seated(self, number: int) -> None:
        """Starts a process, which a stop finds from then on, also if others are still starting. Raises _Ended."""
        self._processes[number] = await self._start(number)

    async def _start(self, number: int) -> asyncio.subprocess.Process:
        """Starts the process of a seat, and waits until it serves.

        Raises:
            _Ended: it ended before.
        """
        ready, told = os.pipe()
        if self._listeners[number].fileno() < 0:
            self._listeners[number] = shared_listener(self._settings)
        listener = self._listeners[number].fileno()
        cores = self._cores.get(number, ())
        seat = Seat(number, str(self._folder), listener, told, self._parent, cores)
        process = await asyncio.create_subprocess_exec(
            *_command(),
            env={**os.environ, **seat.environment(), "PROMETHEUS_MULTIPROC_DIR": str(self._metrics)},
            pass_fds=(listener, told, self._parent),
            stdin=subprocess.DEVNULL,
            process_group=0,  # A terminal's Ctrl-C comes to this process alone.
        )
        os.close(told)
        too_long = asyncio.get_running_loop().call_later(_START_SECONDS, process.kill)
        try:
            served = await asyncio.to_thread(os.read, ready, 1)
        except BaseException:
            process.kill()
            raise
        finally:
            too_long.cancel()
            os.close(ready)
        if not served:
            status = await process.wait()
            for file in self._metrics.glob(f"*_{process.pid}.db"):
                file.unlink(missing_ok=True)
            raise _Ended(status)
        return process

    async def _keep(self, number: int) -> None:
        """Replaces the process of a seat whenever it ends by itself."""
        pause = _PAUSE_SECONDS
        while True:
            process, since = self._processes[number], time.monotonic()
            status = await process.wait()
            self._bury(process)
            async with self._changing[number]:
                if self._processes[number] is not process:  # It was renewed.
                    continue
                _log.error("%s ended with status %d and is replaced", name_of(number), status)
                if time.monotonic() - since > _SETTLED_SECONDS:
                    pause = _PAUSE_SECONDS
                while not await self._started(number):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _started(self, number: int) -> bool:
        """Starts the process of a seat. Returns whether that succeeded."""
        try:
            self._processes[number] = await self._start(number)
        except (_Ended, OSError) as error:
            _log.error("%s could not start: %s", name_of(number), error)
            if number in self._workers:
                self._listeners[number].close()  # The kernel deals out no connections to it until it starts.
            return False
        return True

    async def _renew(self) -> None:
        """Replaces every process by a new one. Only one owner can hold the database, so requests to it wait for the new one."""
        async with self._renewing:
            _log.info("every process is replaced")
            if DEVICE in self._first and not await self._replaced(DEVICE):
                return
            async with self._changing[OWNER]:
                await self._end(self._processes[OWNER])
                if not await self._started(OWNER):
                    return  # Whoever keeps it tries again. The workers stay as they are.
            for number in self._workers:
                if not await self._replaced(number):
                    return
            _log.info("every process was replaced")

    async def _replaced(self, number: int) -> bool:
        """Starts another process at a seat, and then ends the one before. Returns whether the other could start."""
        async with self._changing[number]:
            before = self._processes[number]
            if not await self._started(number):
                return False
            self._others.add(before)
            await self._end(before)
            self._others.discard(before)
            return True

    async def _drain(self) -> None:
        """Serves on while load balancers learn to send requests elsewhere. A second signal ends that."""
        if self._settings.drain_seconds:
            Leaving(self._folder / LEAVING).begin()
            self._stopping.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._settings.drain_seconds)

    async def _stop_all(self) -> None:
        if self._changing[OWNER].locked():  # No owner will come for the requests that wait at its socket: they are refused.
            self._listeners[OWNER].close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        workers = [process for number, process in self._processes.items() if number in self._workers]
        await asyncio.gather(*map(self._end, [*self._others, *workers]))
        for number in reversed(self._first):
            if process := self._processes.get(number):
                await self._end(process)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Tells a process to stop when it has answered what it took, and waits for that."""
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self._seconds_to_stop)
        except TimeoutError:
            process.kill()
            await process.wait()
        self._bury(process)

    def _bury(self, process: asyncio.subprocess.Process) -> None:
        for file in self._metrics.glob(f"gauge_live*_{process.pid}.db"):  # What it counted stays; what it held is gone.
            file.unlink(missing_ok=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _command() -> list[str]:
    """Returns the command line that this process was started with."""
    return [sys.executable, *sys.orig_argv[1:]]


def _shares(workers: int) -> dict[int, tuple[int, ...]]:
    """Returns the cores of each worker. It is empty where a quota limits the time of all cores, and none is anybody's own."""
    if not hasattr(os, "sched_getaffinity"):
        return {}
    cores = sorted(os.sched_getaffinity(0))
    if available_cores() < len(cores):
        return {}
    if workers >= len(cores):
        return {number: (cores[(number - 1) % len(cores)],) for number in range(1, workers + 1)}
    ends = [number * len(cores) // workers for number in range(workers + 1)]
    return {number: tuple(cores[ends[number - 1] : ends[number]]) for number in range(1, workers + 1)}
