"""The server with an engine that costs nothing, and its processor time on request.

`benchmarks.request_cost` runs this file on this tree or on another: it imports of `server` only what both have.

A line on standard input is answered by one on standard output: a JSON object with the seconds of processor time that the event
loop's thread (`loop`) and all threads (`process`) have had, and with `--stages` those of each stage.
"""

import functools
import importlib
import inspect
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Generator
from types import ModuleType
from typing import Any

import numpy as np

import models.engine
from models.bundle import Bundle
from models.engine import EngineKind, file_of
from models.heads.head import Float32
from models.images.preprocess import Pixels

STAGES_FLAG = "--stages"
_REST = "event loop and sockets"

# Stage -> what belongs to it, as module:name. What a tree does not have is left out, so that trees may differ.
_STAGES: dict[str, tuple[str, ...]] = {
    "HTTP parsing and writing": (
        "server.http.protocol:Connection.data_received",
        "server.http.protocol:Connection._start_asgi_task",
        "uvicorn.protocols.http.httptools_impl:RequestResponseCycle.run_asgi",
        "uvicorn.protocols.http.httptools_impl:RequestResponseCycle.receive",
        "uvicorn.protocols.http.httptools_impl:RequestResponseCycle.send",
    ),
    "around every request": (
        "starlette.middleware.errors:ServerErrorMiddleware.__call__",
        "server.http.middleware:RequestContext.__call__",
        "server.http.middleware:RequestContext._tell",
        "server.http.middleware:Gate.__call__",
        "server.http.middleware:BodyLimits.__call__",
        "server.http.front:Front._serve",
        "server.http.front:Front._answer",
        "server.http.access:Access.tell",
        "starlette.middleware.exceptions:ExceptionMiddleware.__call__",
    ),
    "routing and dependencies": (
        "fastapi.middleware.asyncexitstack:AsyncExitStackMiddleware.__call__",
        "fastapi.routing:APIRouter.app",
        "fastapi.routing:APIRoute.handle",
        "fastapi.routing:solve_dependencies",
        "server.http.front:Front._call",
    ),
    "reading the body": (
        "server.http.bodies.images:read_queries",
        "server.http.bodies.images:read_many_queries",
        "server.http.bodies.images:read_task",
    ),
    "route": (
        "fastapi.routing:run_endpoint_function",
        "server.http.endpoints:Endpoint.__call__",
        "server.http.idempotency:create_once",
        "server.http.dependencies:while_connected",
        "server.http.dependencies:_disconnected",
    ),
    "journey": (
        "server.journeys.active_task:find_task",
        "server.journeys.predict:predict",
        "server.journeys.predict_many:find_tasks",
        "server.journeys.predict_many:predict_many",
        "server.journeys.adapt:create_task",
    ),
    "decoding": ("server.engine.decoder:Decoder.decode",),
    "queue": (
        "server.engine.batcher:Batcher.embed",
        "server.engine.batcher:Batcher.run",
        "server.engine.batcher:_hand_out",
        "server.engine.answering:_hand_out",
    ),
    "head and verdict": (
        "server.journeys.classify:classify",
        "server.journeys.classify:judge",
        "models.answers.verdicts:ranked",
    ),
    "encoding": (
        "server.http.dependencies:reply",
        "server.http.problems:problem",
        "starlette.responses:Response.__call__",
    ),
    "logging": ("logging:Logger._log",),
    "metrics": (
        "prometheus_client.metrics:MetricWrapperBase.labels",
        "prometheus_client.metrics:Counter.inc",
        "prometheus_client.metrics:Gauge.set",
        "prometheus_client.metrics:Histogram.observe",
    ),
}


class _FreeEngine:
    """Takes the first pixels of an image for its embedding."""

    parallel = 1
    device = None
    max_batch = 32

    def __init__(self, bundle: Bundle, kind: EngineKind) -> None:
        self.kind = kind
        self.space = bundle.space(file_of(kind))
        # /readyz compares them. They may share a batch with images of others.
        self._golden = {image.tobytes(): each for image, each in zip(bundle.golden_pixels, bundle.golden_embeddings, strict=True)}

    def embed(self, pixels: Pixels) -> Float32:
        embeddings = pixels.reshape(len(pixels), -1)[:, : len(self.space.mean)].astype(np.float32)
        for place, image in enumerate(pixels):
            if (golden := self._golden.get(image.tobytes())) is not None:
                embeddings[place] = golden
        return embeddings


def _open_engine(bundle: Bundle, kind: EngineKind = "auto", *_ignored: object) -> _FreeEngine:
    return _FreeEngine(bundle, "onnx" if kind == "auto" else kind)


class _Stages:
    """Seconds of the main thread's processor time by stage: a stage within another one counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._main = threading.get_ident()
        self._open = [_REST]
        self._since = time.thread_time()

    def wrap(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: Any, **kwargs: Any) -> Any:
                return await _Steps(self, stage, function(*args, **kwargs))

            return asynchronous

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._main:
                return function(*args, **kwargs)
            self.enter(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        return plain

    def enter(self, stage: str) -> None:
        self._charge()
        self._open.append(stage)

    def leave(self) -> None:
        self._charge()
        self._open.pop()

    def _charge(self) -> None:
        now = time.thread_time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now


class _Steps:
    """Awaits a coroutine, with each of its steps in a stage."""

    def __init__(self, stages: _Stages, stage: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._stages = stages
        self._stage = stage
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            self._stages.enter(self._stage)
            try:
                awaited = self._coroutine.throw(thrown) if thrown else self._coroutine.send(sent)
            except StopIteration as end:
                return end.value
            finally:
                self._stages.leave()
            sent, thrown = None, None
            try:
                sent = yield awaited
            except BaseException as error:  # A cancelled caller is told by an exception too.
                thrown = error


def _put_in_place(stages: _Stages) -> None:
    for stage, names in _STAGES.items():
        for name in names:
            where, _, path = name.partition(":")
            *owners, attribute = path.split(".")
            try:
                module: ModuleType = importlib.import_module(where)
                owner = functools.reduce(getattr, owners, module)
                function = vars(owner)[attribute]
            except (ModuleNotFoundError, AttributeError, KeyError):
                continue
            wrapped = stages.wrap(stage, function)
            setattr(owner, attribute, wrapped)
            if owner is module:  # It may have been imported by name.
                for other in [module for module in sys.modules.values() if hasattr(module, "__dict__")]:
                    for known, value in list(vars(other).items()):
                        if value is function:
                            setattr(other, known, wrapped)


def _answer_questions(stages: _Stages | None) -> None:
    clock = time.pthread_getcpuclockid(threading.main_thread().ident or 0)
    for _ in sys.stdin:
        by_stage = stages.seconds if stages else {}
        print(json.dumps({"loop": time.clock_gettime(clock), "process": time.process_time(), **by_stage}), flush=True)


def install() -> None:
    """Has whatever imports `open_engine` from now on open engines that cost nothing."""
    models.engine.open_engine = _open_engine  # type: ignore[assignment]


def main() -> int:
    arguments = sys.argv[1:]
    install()
    serve = importlib.import_module("server.__main__").main
    stages = None
    if STAGES_FLAG in arguments:
        arguments.remove(STAGES_FLAG)
        stages = _Stages()
        _put_in_place(stages)
    threading.Thread(target=_answer_questions, args=(stages,), daemon=True).start()
    status: int = serve(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
