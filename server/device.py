"""The process that runs the engines of a server with several processes, the device, and does nothing else."""

import asyncio
import os
import socket
import sys
from importlib.util import find_spec

if find_spec("onnxruntime") is None:
    sys.exit("headstart-server needs ONNX Runtime: pip install '.[cpu]', or '.[gpu]' for CUDA")

from models.engine import keep_freed_memory_together
from server.engine.shared.device import Device
from server.logs import configure_logging
from server.metrics import Metrics
from server.seat import Seat, sit_down
from server.settings import Settings
from server.starting import SIGNALS, collect_less, put_event_loop_first
from server.tracing import open_tracing


def run_device(settings: Settings, seat: Seat) -> int:
    """Runs engines until a signal tells the process to stop, and then until what it took is answered. Returns the exit status."""
    configure_logging(settings, seat.name)
    os.umask(0o077)
    sit_down(seat)
    put_event_loop_first()
    keep_freed_memory_together()
    asyncio.run(_run(settings, seat))
    return 0


async def _run(settings: Settings, seat: Seat) -> None:
    tracing = open_tracing()
    device = Device(settings, Metrics(), tracing, seat.open_engines)
    await device.open_remembered()
    collect_less()
    stopping = asyncio.Event()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with socket.socket(fileno=seat.listener) as listener:
        device.accept_from(listener)
        seat.say_ready()
        await stopping.wait()
        await device.leave(listener, settings.shutdown_timeout)
    if tracing is not None:
        tracing.close()
