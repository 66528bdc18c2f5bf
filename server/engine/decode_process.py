"""`python -m server.engine.decode_process`: decodes what comes in, one image after another, and how to ask it.

A request is a line of JSON and the image; a reply is a line of JSON and, where it tells no error, the pixels.
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

_NICENESS = 5  # As the engine's threads: the event loop and light images come first, and neither starves the other.


def start() -> subprocess.Popen[bytes]:
    """A process to `ask`; it ends when this one does.

    Raises:
        OSError: it cannot be started.
    """
    command = [sys.executable, "-W", "ignore", "-m", "server.engine.decode_process"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603 (nothing of it is a user's)


def ask(process: subprocess.Popen[bytes], image: bytes, spec: InputSpec, limits: ImageLimits) -> Pixels | ImageError:
    """As `load_image`, the error returned.

    Raises:
        OSError, EOFError: the process has ended.
        MemoryError: it has too little memory for the image, and goes on.
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
    """Serves until there is nobody who could ask."""
    for number in (signal.SIGINT, signal.SIGTERM):  # which a terminal and some supervisors send to every process there is
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        os.nice(_NICENESS)
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Whatever a decoder may print is no reply.
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
