"""Runs a bundle's backbone behind one interface, and chooses what runs it. The libraries that do are in `models.runtimes`."""

import ctypes
import logging
import time
from collections.abc import Container
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import onnxruntime

from models.arrays import Array, on_host
from models.bundle import ONNX_FP16, ONNX_INT8, Bundle, BundleError
from models.heads.head import EmbeddingSpace, Float32
from models.images.preprocess import Pixels
from models.measured import recall
from models.processor import available_cores, has_int8_instructions, processor_name
from models.runtimes.batches import BUCKETS, MAX_BATCH
from models.runtimes.devices import cuda_device, device_name, gpu_name
from models.runtimes.kinds import EngineError, EngineKind, file_of, on_cuda
from models.runtimes.onnx import OnnxEngine, can_run
from models.runtimes.torchscript import TorchScriptEngine

__all__ = [
    "MAX_BATCH",
    "Engine",
    "EngineError",
    "EngineKind",
    "cuda_device",
    "device_name",
    "embed_all",
    "file_of",
    "keep_freed_memory_together",
    "on_cuda",
    "open_engine",
    "release_memory",
    "speedup",
]

MIN_SPEEDUP = 1.2
_M_ARENA_MAX, _ARENAS = -8, 2  # mallopt(3)
_TIMED_BATCH, _TURNS = 8, 7
_INT8_MEASURED, _GPU_MEASURED, _TENSORRT_BUILT = "int8-speedups.json", "gpu-speedups.json", "tensorrt"

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """A backbone ready to run.

    Attributes:
        parallel: the number of threads that may call `embed` at once, where it is one. Where it is more, the engine is fully used
            when so many do, and any number may.
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
    shared: Path | None = None,
) -> Engine:
    """Loads a bundle's backbone, warms it and checks it against the bundle's golden embeddings.

    Args:
        kind: `auto` takes CUDA where ONNX Runtime and the machine have it, and there float16 and TensorRT where each pays.
            Otherwise it takes int8 where that pays, and else float32. What pays runs here at least 1.2 times as fast.
        threads: CPU threads of one inference; by default, the cores that this process may use.
        remembered: a folder that keeps the measurements of `auto`, so that each start takes the same engine, and what TensorRT
            built; made if missing.
        tensors_on: the types of device, `cuda` and `cpu`, where embeddings stay, as PyTorch tensors.
        shared: a folder of weights, which processes that open the bundle on a CPU then share; made if missing.

    Raises:
        EngineError: the machine or the bundle lacks what `kind` needs.
        BundleError: the golden check failed.
    """
    count = threads or available_cores()
    if kind != "auto":
        return _open(bundle, kind, count, remembered, tensors_on, shared)
    if can_run("onnx-cuda"):
        try:
            return _open_fastest_on_cuda(bundle, count, remembered, tensors_on)
        except EngineError as error:  # onnxruntime-gpu is installed, but there is no device.
            _log.info("no CUDA: %s", error)
    fastest: EngineKind = "onnx-int8" if _int8_pays(bundle, count, remembered) else "onnx"
    return _open(bundle, fastest, count, remembered, tensors_on, shared)


def _open_fastest_on_cuda(bundle: Bundle, threads: int, remembered: Path | None, tensors_on: Container[str]) -> Engine:
    """Opens the fastest engine that runs on the GPU. If one that was measured to pay fails, it opens the next fastest."""
    kinds: list[EngineKind] = ["onnx-cuda"]
    if ONNX_FP16 in bundle.manifest.files and _pays_on_gpu(bundle, "onnx-fp16-cuda", "onnx-cuda", threads, remembered):
        kinds.append("onnx-fp16-cuda")
    built: EngineKind = "onnx-tensorrt" if kinds[-1] == "onnx-cuda" else "onnx-fp16-tensorrt"
    if can_run(built) and _pays_on_gpu(bundle, built, kinds[-1], threads, remembered):
        kinds.append(built)
    for kind in kinds[:0:-1]:
        try:
            return _open(bundle, kind, threads, remembered, tensors_on)
        except (EngineError, BundleError) as error:
            _log.warning("%s cannot be served by %s: %s", bundle.id, kind, error)
    return _open(bundle, "onnx-cuda", threads, remembered, tensors_on)


def _open(
    bundle: Bundle,
    kind: EngineKind,
    threads: int,
    remembered: Path | None = None,
    tensors_on: Container[str] = (),
    shared: Path | None = None,
) -> Engine:
    if file_of(kind) not in bundle.manifest.files:
        raise EngineError(f"bundle {bundle.id} has no {file_of(kind)}, which the engine {kind} runs")
    tensors = ("cuda" if on_cuda(kind) else "cpu") in tensors_on
    engine: Engine
    if kind.startswith("torchscript"):
        engine = TorchScriptEngine(bundle, kind, threads, tensors)
    else:
        engine = OnnxEngine(bundle, kind, threads, tensors, remembered / _TENSORRT_BUILT if remembered else None, shared)
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
    for size in BUCKETS:
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
        return _measured(bundle, _open(bundle, "onnx-int8", threads), _open(bundle, "onnx", threads), _TIMED_BATCH)

    return recall(remembered and remembered / _INT8_MEASURED, setting, measure) >= MIN_SPEEDUP


def _pays_on_gpu(bundle: Bundle, fast: EngineKind, slow: EngineKind, threads: int, remembered: Path | None) -> bool:
    """Returns whether an engine on the GPU is enough faster than another there. One that fails does not pay.

    They are timed with their largest batches. Small ones take the time of the launches, in any precision.
    """
    sha256 = bundle.manifest.files[file_of(fast)].sha256
    setting = f"{bundle.id} {sha256}, {fast} against {slow}, {gpu_name()}, ONNX Runtime {onnxruntime.__version__}"

    def measure() -> float:
        quick, plain = _open(bundle, fast, threads, remembered), _open(bundle, slow, threads, remembered)
        return _measured(bundle, quick, plain, min(quick.max_batch, plain.max_batch))

    try:
        return recall(remembered and remembered / _GPU_MEASURED, setting, measure) >= MIN_SPEEDUP
    except (EngineError, BundleError) as error:  # Nothing is remembered, so the next start tries again.
        _log.info("%s: %s is not compared with %s: %s", bundle.id, fast, slow, error)
        return False


def _measured(bundle: Bundle, fast: Engine, slow: Engine, size: int) -> float:
    """Returns how many times as fast as the other an engine embeds a batch of that size."""
    found = speedup(fast, slow, np.resize(bundle.golden_pixels, (size, *bundle.golden_pixels.shape[1:])))
    _log.info("%s runs %.1f times as fast as %s here", fast.kind, found, slow.kind)
    return found


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


def keep_freed_memory_together() -> None:
    """Has all threads share two of the C library's heaps. Call it before there are other threads.

    By default there are eight for each core, and each keeps what its threads have freed, so that a server grows for hours.
    """
    with suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def embed_all(engine: Engine, pixels: Pixels) -> Float32:
    """Returns the embeddings (N, D) of any number of images, in batches of at most `engine.max_batch`."""
    if not len(pixels):
        return np.empty((0, len(engine.space.mean)), dtype=np.float32)
    size = engine.max_batch
    return np.concatenate([on_host(engine.embed(pixels[start : start + size])) for start in range(0, len(pixels), size)])
