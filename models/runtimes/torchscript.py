"""TorchScript as an engine."""

import io
import warnings
from typing import Any

from models.arrays import Array, on_host
from models.bundle import TORCHSCRIPT, Bundle, BundleError
from models.images.preprocess import Pixels
from models.runtimes.batches import MAX_BATCH, MAX_BATCH_CUDA, padded
from models.runtimes.devices import torch_for
from models.runtimes.kinds import EngineError, EngineKind, on_cuda


class TorchScriptEngine:
    """TorchScript on a CPU or on CUDA."""

    def __init__(self, bundle: Bundle, kind: EngineKind, threads: int, tensors: bool) -> None:
        self._torch = torch = torch_for(f"the engine {kind}")
        self._device = torch.device("cuda" if on_cuda(kind) else "cpu")
        self.device = self._device if tensors else None
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise EngineError(f"the engine {kind} needs a CUDA device")
        torch.set_num_threads(threads)
        if self._device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # for the golden check, which allows float32's errors alone
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
        from models.tensors import finish, on_device

        batch = padded(pixels) if self._device.type == "cuda" else pixels
        with self._torch.inference_mode():
            embeddings = self._module(on_device(batch, self._device))[: len(pixels)]
        if not self.device:
            return on_host(embeddings)
        finish(self.device)  # Otherwise the batcher would take the batch for done, and errors would come later and elsewhere.
        return embeddings
