"""Processes that decode heavy images. Slow decoding, holding Python's lock, or a crash there does not affect the server."""

import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from models.images.preprocess import ImageError, ImageLimits, Pixels
from models.manifest import InputSpec
from models.processor import available_cores
from server.engine.decode_process import ask, start
from server.errors import Overloaded
from server.threads import FairPool

Decoded = Pixels | ImageError

_MOST_PROCESSES = 4
_STOPPING = "the server is stopping"
_NO_MEMORY = "too little memory to decode a large image; try again"


class DecodeProcesses:
    """One process for each core, but at most four. Each is started when it is first needed.

    Together they decode a bounded number of pixels at once: half of an image's limit per process, but at least one whole limit.

    Attributes:
        count: the most processes that there may be.
    """

    def __init__(self, limits: ImageLimits) -> None:
        self.count = min(available_cores(), _MOST_PROCESSES)
        self._limits = limits
        self._room = max(2, self.count) * limits.max_pixels // 2
        self._work = 0
        self._waiting: deque[object] = deque()
        self._pool = FairPool(self.count, "decode process")
        self._changed = threading.Condition()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._closed = False

    async def decode(self, image: bytes, spec: InputSpec, work: int) -> Decoded:
        """Returns the same as `load_image`. An ImageError is returned, not raised. An image that ends its process is broken.

        Args:
            work: the cost of the image, in pixels.

        Raises:
            Overloaded: there is too little memory, or `close` was called.
        """
        return await self._pool.run(self._decode, image, spec, work)

    def close(self) -> None:
        """Ends every process at once, even while it decodes."""
        with self._changed:
            self._closed = True
            for process in self._processes:
                process.kill()
            self._changed.notify_all()
        self._pool.close()  # Waiting callers are refused in turn. If they were cancelled, their requests would get no answer.
        for process in self._processes:
            process.communicate()

    def _decode(self, image: bytes, spec: InputSpec, work: int) -> Decoded:
        with self._admit(work):
            process = self._take()
            try:
                decoded = ask(process, image, spec, self._limits)
            except MemoryError as error:
                self._give_back(process)
                raise Overloaded(_NO_MEMORY) from error
            except (OSError, EOFError):
                return self._bury(process)
            self._give_back(process)
            return decoded

    @contextmanager
    def _admit(self, work: int) -> Iterator[None]:
        """Waits for room, first come, first served. Otherwise small images could keep a large one waiting forever."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            self._changed.wait_for(lambda: self._closed or (self._waiting[0] is turn and self._fits(work)))
            self._waiting.remove(turn)
            self._work += work
            self._changed.notify_all()  # The next image may fit too.
        try:
            yield
        finally:
            with self._changed:
                self._work -= work
                self._changed.notify_all()

    def _fits(self, work: int) -> bool:
        return not self._work or self._work + work <= self._room

    def _give_back(self, process: subprocess.Popen[bytes]) -> None:
        with self._changed:
            self._idle.append(process)

    def _take(self) -> subprocess.Popen[bytes]:
        with self._changed:
            if self._closed:
                raise Overloaded(_STOPPING)
            while self._idle:
                process = self._idle.pop()
                if process.poll() is None:
                    return process
                self._processes.discard(process)  # It was killed while it was idle: no image is to blame.
                process.communicate()
            try:
                process = start()
            except OSError as error:
                raise Overloaded(_NO_MEMORY) from error
            self._processes.add(process)
            return process

    def _bury(self, process: subprocess.Popen[bytes]) -> ImageError:
        """Removes a process that ended or no longer answers, and returns the error of the image that it had.

        Raises:
            Overloaded: `close` was called, or the process was killed for want of memory.
        """
        with self._changed:
            if self._closed:
                raise Overloaded(_STOPPING)
            self._processes.discard(process)
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            raise Overloaded(_NO_MEMORY)
        return ImageError("image_broken", "the image is damaged and cannot be decoded")
