"""Files made elsewhere, ONNX or TorchScript, as candidates (`training.export.candidate.Candidate`) for a bundle.

Such a file maps images float32 (N, 3, H, W), normalised, to embeddings float32 (N, D) or (N, D, 1, 1). The arithmetic that makes
such images from pixels is put in front. An ONNX file may also take pixels itself, uint8 (N, H, W, 3), with arithmetic of its
own. From a classifier's file the last layer is cut off.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.backbones import Backbone, PixelBackbone
from models.bundle import ONNX, TORCHSCRIPT
from models.heads.head import Float32
from models.images.preprocess import Pixels
from models.onnx_file import has_external_data
from training.export.graphs import GraphError, first_line, run_onnx, scripted_to_onnx, to_torchscript
from training.importing.classifier import LastLayer, without_classifier
from training.importing.prefix import Normalisation, dimensions, interface, takes_pixels, with_prefix

Run = Callable[[NDArray[Any]], list[NDArray[Any]]]

_LARGEST = 2**31 - 1  # bytes of a protocol buffer
_BATCHES = (1, 2, 5)
_TOLERANCE = 1e-4


class OnnxFile:
    """An ONNX file made elsewhere.

    Args:
        normalisation: mean and standard deviation of each channel on the scale [0, 1]; None for a file that takes pixels.
        input_size: side of the images, where the file leaves it open.
        last_layer: see `without_classifier`.
        adapt: gives a file of several outputs the one that is the embedding.

    Attributes:
        size: (height, width) of the images.
        embedding_dim: D.
        is_cut: whether the file's last layer was cut off.

    Raises:
        GraphError: it is no such file, or an image's embedding depends on the other images of its batch.
    """

    def __init__(
        self,
        path: Path,
        normalisation: Normalisation | None,
        input_size: int | None,
        last_layer: LastLayer | None = None,
        adapt: Callable[[onnx.ModelProto], onnx.ModelProto] | None = None,
    ) -> None:
        self.name = path.name
        read = _parse(_read_onnx(path), self.name)
        whole = adapt(read) if adapt else read
        source, _ = interface(whole, self.name)
        model = without_classifier(whole, self.name, last_layer)
        self.is_cut = model is not whole
        if takes_pixels(source, self.name) and normalisation is not None:
            raise GraphError(f"{self.name} takes pixels and normalises them itself; leave out --mean and --std")
        if not takes_pixels(source, self.name) and normalisation is None:
            raise GraphError(f"{self.name} takes normalised images; say with --mean and --std how they are normalised")
        self.size = _image_size(source, self.name, input_size)
        self._normalisation = normalisation
        self._batch = dimensions(source)[0] or 1
        self._run = run_onnx(model.SerializeToString())
        self.embedding_dim = self._one(np.zeros((*self.size, 3), dtype=np.uint8)).shape[1]
        self._graph = with_prefix(model, normalisation, self.size, self.name)
        _check_batches(self, self._graph)

    def graphs(self, example: Pixels) -> dict[str, bytes]:  # noqa: ARG002  # An ONNX file needs no example.
        return {ONNX: self._graph}

    def embed(self, pixels: Pixels) -> Float32:
        """Embeds images with the file as given, up to where it was cut, one image at a time, normalised by NumPy."""
        return np.concatenate([self._one(image) for image in pixels])

    def _one(self, image: Pixels) -> Float32:
        batch = np.repeat(image[None], self._batch, axis=0)
        outputs = self._run(batch if self._normalisation is None else _normalised(batch, self._normalisation))
        return _embeddings(outputs[0], self._batch, self.name)[:1]


class TorchScriptFile:
    """A TorchScript file made elsewhere. Arguments and attributes are those of `OnnxFile`.

    Raises:
        GraphError: as for `OnnxFile`, or PyTorch cannot convert it to ONNX.
    """

    def __init__(self, path: Path, normalisation: Normalisation, input_size: int, last_layer: LastLayer | None = None) -> None:
        self.name = path.name
        self.size = (input_size, input_size)
        self._normalisation = normalisation
        self._module = _load_torchscript(path)
        self._beheaded: Run | None = None
        self._one(np.zeros((*self.size, 3), dtype=np.uint8))  # whether it takes such images at all
        whole = scripted_to_onnx(self._module, torch.zeros(2, 3, *self.size))
        model = without_classifier(whole, self.name, last_layer)
        self.is_cut = model is not whole
        if self.is_cut:
            self._check_conversion(whole)
            self._beheaded = run_onnx(model.SerializeToString())
        self.embedding_dim = self._one(np.zeros((*self.size, 3), dtype=np.uint8)).shape[1]
        self._graph = with_prefix(model, normalisation, self.size, self.name)
        _check_batches(self, self._graph)

    def graphs(self, example: Pixels) -> dict[str, bytes]:
        """Returns ONNX alone where the last layer was cut off: compiled TorchScript cannot be cut."""
        if self.is_cut:
            return {ONNX: self._graph}
        network = PixelBackbone(Backbone(_Flat(self._module, self.embedding_dim), *self._normalisation)).eval()
        return {ONNX: self._graph, TORCHSCRIPT: to_torchscript(network, example)}

    def embed(self, pixels: Pixels) -> Float32:
        """Embeds images with the file as given, one image at a time, normalised by NumPy; where it was cut, with its
        conversion to ONNX.
        """
        return np.concatenate([self._one(image) for image in pixels])

    def _one(self, image: Pixels) -> Float32:
        images = _normalised(image[None], self._normalisation)
        return _embeddings(self._beheaded(images)[0] if self._beheaded else self._answer(images), 1, self.name)

    @torch.inference_mode()
    def _answer(self, images: Float32) -> Float32:
        """Returns the file's own output for normalised images (N, 3, H, W)."""
        try:
            output = self._module(torch.from_numpy(images))
        except Exception as error:  # Its own code, which may raise anything.
            raise GraphError(f"{self.name} cannot take images {tuple(images.shape)}: {_last_line(error)}") from error
        if not isinstance(output, Tensor):
            raise GraphError(f"{self.name} answers with a {type(output).__name__}; it needs one tensor, the embedding")
        answer: Float32 = output.numpy()
        return answer

    def _check_conversion(self, whole: onnx.ModelProto) -> None:
        """Checks that the conversion agrees with the file in the output that both compute, the classifier's.

        Raises:
            GraphError: it does not.
        """
        images = np.random.default_rng(0).standard_normal((2, 3, *self.size), dtype=np.float32)
        wanted, converted = self._answer(images), run_onnx(whole.SerializeToString())(images)[0]
        if not np.linalg.norm(converted - wanted) <= _TOLERANCE * np.linalg.norm(wanted):  # NaN fails too.
            raise GraphError(f"{self.name} cannot be cut: as ONNX it computes something else; export it without its classifier")


class _Flat(nn.Module):
    """A scripted network whose embeddings (N, D) or (N, D, 1, 1) become (N, D)."""

    def __init__(self, module: nn.Module, embedding_dim: int) -> None:
        super().__init__()
        self.module = module
        self.embedding_dim = embedding_dim

    def forward(self, x_N3HW: Tensor) -> Tensor:
        embeddings: Tensor = self.module(x_N3HW)
        return embeddings.flatten(1)


def _read_onnx(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise GraphError(f"{path} is larger than 2 GB, which one ONNX file cannot be")
        data = path.read_bytes()
    except OSError as error:
        raise GraphError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        external = has_external_data(data)
    except ValueError as error:
        raise GraphError(f"{path}: not an ONNX file: {error}") from error
    if external:
        raise GraphError(f"{path}: keeps tensors in other files; save it as one file")
    return data


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    try:
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model)
    except Exception as error:  # The parser and the checker share no base.
        raise GraphError(f"{name}: not an ONNX file: {first_line(error)}") from error
    return model


def _load_torchscript(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=FutureWarning)  # PyTorch steers new code to torch.export.
            load: Any = torch.jit.load
            return load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise GraphError(f"{path}: not a TorchScript file: {first_line(error)}") from error


def _image_size(source: onnx.ValueInfoProto, name: str, input_size: int | None) -> tuple[int, int]:
    axes = (1, 2) if takes_pixels(source, name) else (2, 3)
    sides = [dimensions(source)[axis] for axis in axes]
    if None in sides and input_size is None:
        raise GraphError(f"{name} leaves the size of its images open; say it with --input-size")
    if input_size is not None and any(side not in (None, input_size) for side in sides):
        raise GraphError(f"{name} takes images of {sides[0]} x {sides[1]} pixels, not {input_size}")
    height, width = (side or input_size or 0 for side in sides)
    return height, width


def _normalised(pixels: Pixels, normalisation: Normalisation) -> Float32:
    """Converts uint8 (N, H, W, 3) to normalised float32 (N, 3, H, W)."""
    mean, std = (np.array(values, dtype=np.float32) for values in normalisation)
    images: Float32 = ((pixels.astype(np.float32) / np.float32(255.0) - mean) / std).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images)


def _embeddings(output: NDArray[Any], count: int, name: str) -> Float32:
    shape = output.shape
    if output.dtype != np.float32 or shape[0] != count or not (len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))):
        raise GraphError(f"{name} answers with {output.dtype} {shape}; it needs float32 ({count}, D), pooled embeddings")
    return output.reshape(count, -1)


def _check_batches(file: OnnxFile | TorchScriptFile, graph: bytes) -> None:
    """Checks that the wrapped graph gives every image of a batch the embedding that the file gives it alone.

    Raises:
        GraphError: it does not.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (max(_BATCHES), *file.size, 3), dtype=np.uint8)
    wanted = file.embed(pixels)
    run: Run = run_onnx(graph)
    for count in _BATCHES:
        try:
            (embeddings,) = run(pixels[:count])
            same = embeddings.shape == wanted[:count].shape
            same = same and np.linalg.norm(embeddings - wanted[:count]) <= _TOLERANCE * np.linalg.norm(wanted[:count])
        except GraphError:
            same = False
        if not same:
            raise GraphError(f"{file.name} does not take {count} images at once as it takes one; export it with a dynamic batch")


def _last_line(error: Exception) -> str:
    """Returns the last line of an error. TorchScript's errors end in the cause, after pages on the place."""
    return str(error).strip().splitlines()[-1][:300]
