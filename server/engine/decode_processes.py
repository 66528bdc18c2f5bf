"""Processes that decode heavy images: what takes long, holds Python's lock or crashes there takes nothing from the server."""

import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from models.images.preprocess import ImageError, ImageLimits, Pixels
from models.manifest import InputSpec
from models.processor import available_cores
from server.engine.decode_process import ask, start
from server.errors import Overloaded
from server.threads import run_in

Decoded = Pixels | ImageError

_MOST_PROCESSES = 4
_STOPPING = "the server is stopping"
_NO_MEMORY = "too little memory to decode a large image; try again"


class DecodeProcesses:
    """As many processes as there are cores, four at most, each started when it is first needed.

    Together they decode as many pixels at once as one image may have, or half as many for each of them where that is more.

    Attributes:
        count: how many there may be.
    """

    def __init__(self, limits: ImageLimits) -> None:
        self.count = min(available_cores(), _MOST_PROCESSES)
        self._limits = limits
        self._room = max(2, self.count) * limits.max_pixels // 2
        self._work = 0
        self._waiting: deque[object] = deque()
        self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="decode process")
        self._changed = threading.Condition()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._closed = False

    async def decode(self, image: bytes, spec: InputSpec, work: int) -> Decoded:
        """As `load_image`, the error returned; an image that ends its process is broken.

        Args:
            work: what it costs, in pixels.

        Raises:
            Overloaded: there is not memory enough, or this was closed.
        """
        return await run_in(self._pool, self._decode, image, spec, work)

    def close(self) -> None:
        """Ends every process, whatever it is at."""
        with self._changed:
            self._closed = True
            for process in self._processes:
                process.kill()
            self._changed.notify_all()
        self._pool.shutdown()  # Who waits is refused at its turn; cancelled, its request would end without a word.
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
        """Waits for room. First come, first served: small images must not keep a large one waiting for ever."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            self._changed.wait_for(lambda: self._closed or (self._waiting[0] is turn and self._fits(work)))
            self._waiting.remove(turn)
            self._work += work
            self._changed.notify_all()  # The next may fit beside it.
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
                self._processes.discard(process)  # It was killed while it had nothing to do: no image is to blame.
                process.communicate()
            try:
                process = start()
            except OSError as error:
                raise Overloaded(_NO_MEMORY) from error
            self._processes.add(process)
            return process

    def _bury(self, process: subprocess.Popen[bytes]) -> ImageError:
        """Of a process that ended or answers no more: what that says of the image, if it was not killed from outside."""
        with self._changed:
            if self._closed:
                raise Overloaded(_STOPPING)
            self._processes.discard(process)
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            raise Overloaded(_NO_MEMORY)
        return ImageError("image_broken", "the image is damaged and cannot be decoded")
