"""Runs a bundle's backbone: ONNX Runtime (CPU, CUDA) or TorchScript (CPU, CUDA) behind one interface."""

import ctypes
import io
import logging
import threading
import time
import warnings
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime

from models.arrays import Array, on_host
from models.bundle import ONNX, ONNX_INT8, TORCHSCRIPT, Bundle, BundleError
from models.heads.head import EmbeddingSpace, Float32
from models.images.preprocess import Pixels
from models.measured import recall
from models.processor import available_cores, has_int8_instructions, processor_name

EngineKind = Literal["auto", "onnx", "onnx-int8", "onnx-cuda", "torchscript", "torchscript-cuda"]

MAX_BATCH = 32  # on a CPU, which larger batches do not make faster
MAX_BATCH_CUDA = 256
INT8_MIN_SPEEDUP = 1.2
_MOST_PARALLEL = 4
_TIMED_BATCH, _TURNS = 8, 7

_log = logging.getLogger(__name__)


class EngineError(Exception):
    """An engine that this machine or this bundle cannot offer.

    Attributes:
        problem: the message without a library's own words, which may name private paths.
    """

    def __init__(self, problem: str, said: Exception | None = None) -> None:
        super().__init__(f"{problem}: {said}" if said else problem)
        self.problem = problem


class Engine(Protocol):
    """A backbone ready to run.

    Attributes:
        parallel: the number of threads that may call `embed` at once; the engine is fully used only when so many do.
        max_batch: images of one call.
        device: the `torch.device` of embeddings that are tensors; None where they are NumPy arrays.
    """

    kind: EngineKind
    space: EmbeddingSpace
    parallel: int
    max_batch: int
    device: Any

    def embed(self, pixels: Pixels) -> Array:
        """uint8 (N, H, W, 3), N from 1 to `max_batch` -> float32 (N, D)."""


def open_engine(
    bundle: Bundle,
    kind: EngineKind = "auto",
    threads: int | None = None,
    remembered: Path | None = None,
    tensors_on: Container[str] = (),
) -> Engine:
    """Loads a bundle's backbone, warms it and checks it against the bundle's golden embeddings.

    Args:
        kind: `auto` takes CUDA where ONNX Runtime and the machine have it. Otherwise it takes int8 where the bundle has it and
            this machine runs it at least 1.2 times as fast as float32. Otherwise it takes float32.
        threads: CPU threads of one inference; by default, the cores that this process may use.
        remembered: a file that keeps the measurements of `auto`, so that each start takes the same engine; made if missing.
        tensors_on: the types of device, `cuda` and `cpu`, where embeddings stay, as PyTorch tensors.

    Raises:
        EngineError: the machine or the bundle lacks what `kind` needs.
        BundleError: the golden check failed.
    """
    count = threads or available_cores()
    if kind != "auto":
        return _open(bundle, kind, count, tensors_on)
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        try:
            return _open(bundle, "onnx-cuda", count, tensors_on)
        except EngineError as error:  # onnxruntime-gpu is installed, but there is no device.
            _log.info("no CUDA: %s", error)
    return _open(bundle, "onnx-int8" if _int8_pays(bundle, count, remembered) else "onnx", count, tensors_on)


def _open(bundle: Bundle, kind: EngineKind, threads: int, tensors_on: Container[str] = ()) -> Engine:
    if file_of(kind) not in bundle.manifest.files:
        raise EngineError(f"bundle {bundle.id} has no {file_of(kind)}, which the engine {kind} runs")
    tensors = ("cuda" if on_cuda(kind) else "cpu") in tensors_on
    engine: Engine = (_TorchScriptEngine if kind.startswith("torchscript") else _OnnxEngine)(bundle, kind, threads, tensors)
    if on_cuda(kind):
        _warm(engine, bundle.golden_pixels.shape[1:])
    try:
        embeddings = embed_all(engine, bundle.golden_pixels)
    except Exception as error:  # ONNX Runtime's and PyTorch's exceptions share no other base.
        raise EngineError(f"bundle {bundle.id}: {file_of(kind)} does not run on the golden images", error) from error
    bundle.check_golden(file_of(kind), embeddings)
    return engine


def _warm(engine: Engine, shape: tuple[int, ...]) -> None:
    """Runs every batch size that the engine will see. `max_batch` becomes the largest that the device has memory for."""
    for size in _BUCKETS:
        try:
            engine.embed(np.zeros((size, *shape), dtype=np.uint8))
        except Exception as error:  # ONNX Runtime's and PyTorch's exceptions share no other base.
            if size == 1:
                raise EngineError("the device cannot run the backbone", error) from error
            engine.max_batch = size // 2
            _log.warning("batches of %d images at most, since more failed: %s", engine.max_batch, error)
            return


def _int8_pays(bundle: Bundle, threads: int, remembered: Path | None) -> bool:
    """Returns whether int8 is fast enough here.

    Its cost in accuracy was measured at export. The golden check shows that it computes the same here.
    """
    if ONNX_INT8 not in bundle.manifest.files or not has_int8_instructions():
        return False
    sha256 = bundle.manifest.files[ONNX_INT8].sha256
    setting = f"{bundle.id} {sha256}, {processor_name()}, {threads} threads, ONNX Runtime {onnxruntime.__version__}"

    def measure() -> float:
        batch = np.resize(bundle.golden_pixels, (_TIMED_BATCH, *bundle.golden_pixels.shape[1:]))
        found = speedup(_open(bundle, "onnx-int8", threads), _open(bundle, "onnx", threads), batch)
        _log.info("int8 runs %.1f times as fast as float32 here", found)
        return found

    return recall(remembered, setting, measure) >= INT8_MIN_SPEEDUP


def speedup(fast: Engine, slow: Engine, batch: Pixels) -> float:
    """Returns the median ratio of the two engines' times for a batch, measured in turns."""

    def seconds(engine: Engine) -> float:
        started = time.perf_counter()
        engine.embed(batch)
        return time.perf_counter() - started

    return median(seconds(slow) / seconds(fast) for _ in range(_TURNS))


def release_memory() -> None:
    """Returns freed memory to the system, which the C library would keep after engines were opened and closed."""
    with suppress(OSError, AttributeError):  # Only glibc has it; other C libraries keep less.
        ctypes.CDLL(None).malloc_trim(0)


def file_of(kind: EngineKind) -> str:
    """Returns the name of the bundle's file that an engine of that kind runs."""
    if kind.startswith("torchscript"):
        return TORCHSCRIPT
    return ONNX_INT8 if kind == "onnx-int8" else ONNX


def on_cuda(kind: EngineKind) -> bool:
    """Returns whether engines of that kind run on a GPU."""
    return kind.endswith("-cuda")


def embed_all(engine: Engine, pixels: Pixels) -> Float32:
    """Returns the embeddings (N, D) of any number of images, in batches of at most `engine.max_batch`."""
    if not len(pixels):
        return np.empty((0, len(engine.space.mean)), dtype=np.float32)
    size = engine.max_batch
    return np.concatenate([on_host(engine.embed(pixels[start : start + size])) for start in range(0, len(pixels), size)])


# The batch sizes of a CUDA engine.
_BUCKETS = tuple(2**i for i in range(MAX_BATCH_CUDA.bit_length()))


def _padded(pixels: Pixels) -> Pixels:
    size = next(size for size in _BUCKETS if size >= len(pixels))
    if size == len(pixels):
        return pixels
    padded = np.zeros((size, *pixels.shape[1:]), dtype=np.uint8)
    padded[: len(pixels)] = pixels
    return padded


class _OnnxEngine:
    """ONNX Runtime on a CPU or on CUDA.

    On a CPU a lone caller gets all threads, and callers beside each other get equal shares. Threads that run one batch together
    wait for one another after every operator, and longer where other work holds a core.
    """

    def __init__(self, bundle: Bundle, kind: EngineKind, threads: int, tensors: bool) -> None:
        file, cuda = file_of(kind), on_cuda(kind)
        if cuda and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise EngineError(f"the engine {kind} needs onnxruntime-gpu and a CUDA device")
        model = bundle.read(file)
        self.parallel = 1 if cuda else min(threads, _MOST_PARALLEL)
        self.max_batch = MAX_BATCH_CUDA if cuda else MAX_BATCH
        try:
            self._alone = _session(model, threads, cuda)
            self._beside = self._alone if self.parallel == 1 else _session(model, -(-threads // self.parallel), cuda)
        except Exception as error:  # ONNX Runtime's exceptions share no base but Exception.
            raise EngineError(f"bundle {bundle.id}: ONNX Runtime cannot load {file}", error) from error
        if cuda and "CUDAExecutionProvider" not in self._alone.get_providers():
            raise EngineError("ONNX Runtime fell back from CUDA to the CPU; see its log for the missing library")
        self._input = self._alone.get_inputs()[0].name
        self._pads = cuda
        self._callers = 0
        self._lock = threading.Lock()
        self.kind = kind
        self.space = bundle.space(file)
        self.device: Any = _torch_for(f"the engine {kind}").device("cuda" if cuda else "cpu") if tensors else None

    def embed(self, pixels: Pixels) -> Array:
        batch = _padded(pixels) if self._pads else pixels
        with self._entered() as callers:
            session = self._alone if callers == 1 else self._beside
            embeddings = self._into_tensor(session, batch) if self.device else session.run(None, {self._input: batch})[0]
        return embeddings[: len(pixels)]

    def _into_tensor(self, session: onnxruntime.InferenceSession, batch: Pixels) -> Array:
        """Returns the embeddings where they are made, in memory that PyTorch allocates."""
        from models.tensors import finish, made_on, on_device

        images = on_device(batch, self.device)
        embeddings = made_on(self.device, (len(batch), len(self.space.mean)))
        place = self.device.type, self.device.index or 0
        binding = session.io_binding()
        binding.bind_input(self._input, *place, np.uint8, batch.shape, images.data_ptr())
        binding.bind_output(session.get_outputs()[0].name, *place, np.float32, tuple(embeddings.shape), embeddings.data_ptr())
        finish(self.device)  # ONNX Runtime's stream does not wait for PyTorch's. At the end of a run it waits for its own.
        session.run_with_iobinding(binding)
        return embeddings

    @contextmanager
    def _entered(self) -> Iterator[int]:
        """Counts the callers that are inside `embed`."""
        with self._lock:
            self._callers += 1
            callers = self._callers
        try:
            yield callers
        finally:
            with self._lock:
                self._callers -= 1


def _session(model: bytes, threads: int, cuda: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would keep the decoders from the cores between batches.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    provider = ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}) if cuda else "CPUExecutionProvider"
    return onnxruntime.InferenceSession(model, options, providers=[provider])


class _TorchScriptEngine:
    def __init__(self, bundle: Bundle, kind: EngineKind, threads: int, tensors: bool) -> None:
        self._torch = torch = _torch_for(f"the engine {kind}")
        self._device = torch.device("cuda" if on_cuda(kind) else "cpu")
        self.device = self._device if tensors else None
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise EngineError(f"the engine {kind} needs a CUDA device")
        torch.set_num_threads(threads)
        try:
            with warnings.catch_warnings():
                # PyTorch steers new code to torch.export; TorchScript remains the format that loads without Python code.
                warnings.simplefilter("ignore", category=FutureWarning)
                load: Any = torch.jit.load
                self._module = load(io.BytesIO(bundle.read(TORCHSCRIPT)), map_location=self._device).eval()
        except RuntimeError as error:
            raise BundleError(f"{TORCHSCRIPT}: PyTorch cannot load it", bundle.path) from error
        self.kind = kind
        self.space = bundle.space(TORCHSCRIPT)
        self.parallel = 1
        self.max_batch = MAX_BATCH_CUDA if self._device.type == "cuda" else MAX_BATCH

    def embed(self, pixels: Pixels) -> Array:
        from models.tensors import on_device

        batch = _padded(pixels) if self._device.type == "cuda" else pixels
        with self._torch.inference_mode():
            embeddings = self._module(on_device(batch, self._device))[: len(pixels)]
        return embeddings if self.device else on_host(embeddings)


def cuda_device() -> Any:
    """Returns the `torch.device` of the GPU.

    Raises:
        EngineError: PyTorch or a GPU is missing.
    """
    torch = _torch_for("on a CUDA device")
    if not torch.cuda.is_available():
        raise EngineError("there is no CUDA device that PyTorch can use")
    return torch.device("cuda")


def device_name(device: Any) -> str:
    """Returns the name of a `torch.device`'s hardware, with the release of PyTorch."""
    torch = _torch_for("on a device")
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return f"{hardware}, PyTorch {torch.__version__}"


def _torch_for(use: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise EngineError(f"running {use} needs PyTorch: pip install 'headstart-server[gpu]'") from error
    return torch
