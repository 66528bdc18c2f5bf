"""ONNX Runtime as an engine: on a CPU, on CUDA, or with TensorRT."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from models.arrays import Array
from models.bundle import ONNX_FP16, PIXELS, Bundle
from models.images.preprocess import Pixels
from models.runtimes.batches import MAX_BATCH, MAX_BATCH_CUDA, padded
from models.runtimes.devices import torch_for
from models.runtimes.kinds import EngineError, EngineKind, file_of, on_cuda, on_tensorrt
from models.runtimes.mapped import mapped_form
from models.runtimes.sessions import CPU, Providers, open_session

_MOST_PARALLEL = 4
_TENSORRT, _CUDA = "TensorrtExecutionProvider", "CUDAExecutionProvider"
_USUAL_BATCH = 32  # for which TensorRT chooses its kernels


class OnnxEngine:
    """ONNX Runtime on a CPU or on CUDA.

    On a CPU a lone caller gets all threads, and callers beside each other get equal shares. Threads that run one batch together
    wait for one another after every operator, and longer where other work holds a core.

    Args:
        built: the folder that keeps what TensorRT builds, which takes minutes; None to keep nothing.
        shared: the folder of weights that processes share on a CPU; None to have them alone.
    """

    def __init__(
        self,
        bundle: Bundle,
        kind: EngineKind,
        threads: int,
        tensors: bool,
        built: Path | None = None,
        shared: Path | None = None,
    ) -> None:
        file, cuda = file_of(kind), on_cuda(kind)
        if not can_run(kind):
            needed = "onnxruntime-gpu, TensorRT" if on_tensorrt(kind) else "onnxruntime-gpu"
            raise EngineError(f"the engine {kind} needs {needed} and a CUDA device")
        model = (mapped_form(bundle, file, shared) if shared and not cuda else None) or bundle.read(file)
        self.parallel = 1 if cuda or tensors else min(threads, _MOST_PARALLEL)
        self.max_batch = MAX_BATCH_CUDA if cuda else MAX_BATCH
        try:
            providers = _providers(bundle, kind, built)
            self._alone = open_session(model, threads, providers)
            self._beside = self._alone if self.parallel == 1 else open_session(model, -(-threads // self.parallel), providers)
        except Exception as error:  # ONNX Runtime's exceptions share no base but Exception.
            raise EngineError(f"bundle {bundle.id}: ONNX Runtime cannot load {file}", error) from error
        if _provider_of(kind) not in self._alone.get_providers():
            wanted, instead = ("TensorRT", "CUDA") if on_tensorrt(kind) else ("CUDA", "the CPU")
            raise EngineError(f"ONNX Runtime fell back from {wanted} to {instead}; see its log for the missing library")
        self._input = self._alone.get_inputs()[0].name
        self._pads = cuda
        self._callers = 0
        self._lock = threading.Lock()
        self.kind = kind
        self.space = bundle.space(file)
        self.device: Any = torch_for(f"the engine {kind}").device("cuda" if cuda else "cpu") if tensors else None

    def embed(self, pixels: Pixels) -> Array:
        batch = padded(pixels) if self._pads else pixels
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


def can_run(kind: EngineKind) -> bool:
    """Returns whether this installation of ONNX Runtime has what runs engines of that kind. A device may still be missing."""
    return _provider_of(kind) in onnxruntime.get_available_providers()


def _provider_of(kind: EngineKind) -> str:
    if on_tensorrt(kind):
        return _TENSORRT
    return _CUDA if on_cuda(kind) else CPU


def _providers(bundle: Bundle, kind: EngineKind, built: Path | None) -> Providers:
    """Returns the execution providers for a session, the preferred one first. Each runs what those before it cannot."""
    if not on_cuda(kind):
        return [CPU]
    # TensorFloat-32 has no more digits than float16, which the golden check of a float32 file does not allow.
    cuda = _CUDA, {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
    if not on_tensorrt(kind):
        return [cuda]
    file, spec = file_of(kind), bundle.manifest.input
    # https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
    options: dict[str, Any] = {"trt_fp16_enable": file == ONNX_FP16}
    # One profile for every size of batch. Otherwise each larger batch would have an engine built.
    for bound, count in (("min", 1), ("opt", _USUAL_BATCH), ("max", MAX_BATCH_CUDA)):
        options[f"trt_profile_{bound}_shapes"] = f"{PIXELS}:{count}x{spec.height}x{spec.width}x3"
    if built:
        # ONNX Runtime names TensorRT's engines by the graph and not by its weights, so each file has a folder of its own.
        folder = built / bundle.manifest.files[file].sha256
        folder.mkdir(parents=True, exist_ok=True)
        options |= {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(folder)}
    return [(_TENSORRT, options), cuda]
