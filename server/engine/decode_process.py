"""`python -m server.engine.decode_process` decodes the images that it is sent, one after another. `start` and `ask` use it.

A request is a line of JSON and the image. A reply is a line of JSON and, if there is no error, the pixels.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from models.images.preprocess import ImageError, ImageLimits, Pixels, load_image
from models.manifest import InputSpec

_NICENESS = 5  # As that of the engine's threads. The event loop and light images come first; neither of the two starves.


def start() -> subprocess.Popen[bytes]:
    """Starts a process to `ask`. It ends when this process ends.

    Raises:
        OSError: it cannot be started.
    """
    command = [sys.executable, "-W", "ignore", "-m", "server.engine.decode_process"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603 (nothing of it is a user's)


def ask(process: subprocess.Popen[bytes], image: bytes, spec: InputSpec, limits: ImageLimits) -> Pixels | ImageError:
    """Returns the same as `load_image`, run by the process. An ImageError is returned, not raised.

    Raises:
        OSError, EOFError: the process has ended.
        MemoryError: the process has too little memory for the image. It can decode others.
    """
    requests, replies = process.stdin, process.stdout
    assert requests
    assert replies
    head = {"bytes": len(image), "spec": spec.model_dump(), "limits": [limits.max_bytes, limits.max_pixels]}
    _send(requests, head, image)
    reply = _receive(replies)
    if reply.get("no_memory"):
        raise MemoryError
    if reply["error"]:
        return ImageError(*reply["error"])
    shape = (spec.height, spec.width, 3)
    return np.frombuffer(_read(replies, spec.height * spec.width * 3), dtype=np.uint8).reshape(shape)


def main() -> None:
    """Answers requests until the process that started this one ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # A terminal and some supervisors send them to every process.
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        os.nice(_NICENESS)
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Output that a decoder may print must not mix with the replies.
    while True:
        try:
            head = _receive(requests)
            image = _read(requests, head["bytes"])
        except EOFError:
            return
        try:
            pixels = load_image(image, InputSpec(**head["spec"]), ImageLimits(*head["limits"]))
        except ImageError as error:
            _send(replies, {"error": [error.code, error.detail]}, b"")
        except MemoryError:
            _send(replies, {"no_memory": True}, b"")
        else:
            _send(replies, {"error": None}, pixels.tobytes())


def _send(file: IO[bytes], head: Mapping[str, Any], content: bytes) -> None:
    file.write(json.dumps(head).encode() + b"\n")
    file.write(content)
    file.flush()


def _receive(file: IO[bytes]) -> dict[str, Any]:
    line = file.readline()
    if not line:
        raise EOFError
    head: dict[str, Any] = json.loads(line)
    return head


def _read(file: IO[bytes], size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError
    return content


if __name__ == "__main__":
    main()
