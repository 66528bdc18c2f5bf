"""Imports a network made elsewhere: opens it and makes a bundle of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.backbones import Backbone, PixelBackbone
from models.backbones.efficientnet_lite import EFFICIENTNET_LITE
from models.backbones.pretrained import is_pretrained, load_pretrained
from models.manifest import RGB, Architecture, Imported, InputSpec, Interpolation
from training.calibration.scoring import Say
from training.calibration.untuned import LEAST_IMAGES
from training.data.dataset import DatasetParts
from training.export.bundle import ExportError, draft_manifest, make_bundle, refuse_taken
from training.export.candidate import Eager
from training.importing.classifier import LastLayer
from training.importing.foreign import OnnxFile, TorchScriptFile
from training.importing.hub.source import PREFIX as HUB
from training.importing.hub.source import open_hub
from training.importing.opened import Opened
from training.importing.photographs import check_paths, enough_for_episodes, load_photographs
from training.importing.weights_file import refuse_weights

ONNX_FILE, TORCHSCRIPT_FILE = "onnx", "torchscript"
_ONNX = ".onnx"
_TORCHSCRIPT = (".pt", ".pth", ".ts", ".torchscript")
_OWN = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  # of a graph that normalises by itself


@dataclass(frozen=True)
class ImportOptions:
    """The network to import, and its preprocessing where it differs from the published one.

    Attributes:
        source: `torchvision:NAME`, `timm:NAME`, `hf:FOLDER`, or the path of an ONNX or a TorchScript file, which may have the
            prefix `onnx:` or `torchscript:`.
        weights: of a library's network: see `load_pretrained`.
        input_size: side of the images in pixels.
        mean, std: of each colour channel, on the scale [0, 1].
        last_layer: of a file: see `without_classifier`.
    """

    source: str
    weights: str | None = None
    input_size: int | None = None
    mean: RGB | None = None
    std: RGB | None = None
    interpolation: Interpolation | None = None
    last_layer: LastLayer | None = None


def import_network(
    options: ImportOptions, data: Sequence[Path], broken_share: float, name: str, version: str, out: Path, say: Say
) -> Path:
    """Writes the bundle `<out>/<name>/<version>/` and returns its folder.

    Args:
        data: images for the statistics, and for choosing head options if they have enough classes; see `load_photographs`.
        broken_share: the share of them that may be unreadable.
        say: receives a line per step.

    Raises:
        ExportError: the options are incomplete, or a file of the bundle disagrees with its source.
        PretrainedError, GraphError: the network is not available, or the file is no network.
        DataError: the images cannot be used.
        BundleError: that version exists already.
    """
    refuse_taken(out, name, version)
    check_paths(data)
    opened = _open(options, say)
    if isinstance(opened.candidate, OnnxFile | TorchScriptFile) and opened.candidate.is_cut:
        say(f"{opened.name} ends in a classifier: the embedding is the input of its last layer, {opened.embedding_dim} numbers")
    photographs = load_photographs(data, opened.spec, broken_share)
    for skipped in photographs.skipped:
        say(f"skipped {skipped}")
    if len(photographs) < LEAST_IMAGES:
        say(f"warning: {len(photographs)} images are too few for good statistics; give {LEAST_IMAGES} or more")
    images = DatasetParts(", ".join(path.resolve().stem for path in data), photographs, enough_for_episodes(photographs), None)
    origin = Imported(
        source=opened.name,
        weights=opened.weights,
        sha256=hashlib.sha256(opened.file.read_bytes()).hexdigest() if opened.file else None,
        images=len(photographs),
        licence=opened.licence,
    )
    draft = draft_manifest(name, version, opened.architecture, opened.embedding_dim, opened.spec, origin)
    draft = draft.model_copy(update={"text": opened.text})
    return make_bundle(draft, opened.candidate, [images], out, (), say, opened.further)


def _open(options: ImportOptions, say: Say) -> Opened:
    if options.source.startswith(HUB):
        if options != ImportOptions(options.source):
            raise ExportError(f"{options.source} says by itself how its images are prepared; leave out every flag but --data")
        return open_hub(Path(options.source.removeprefix(HUB)), say)
    return _open_library(options) if is_pretrained(options.source) else _open_file(options)


def _open_library(options: ImportOptions) -> Opened:
    pretrained = load_pretrained(options.source, options.weights, options.input_size)
    mean, std = options.mean or pretrained.mean, options.std or pretrained.std
    size = pretrained.input_size
    return Opened(
        Eager(PixelBackbone(Backbone(pretrained.network, mean, std))),
        Architecture(name=options.source, widths=(), mean=mean, std=std),
        pretrained.network.embedding_dim,
        InputSpec(height=size, width=size, interpolation=options.interpolation or pretrained.interpolation),
        options.source,
        pretrained.weights,
        pretrained.file,
    )


def file_of(source: str) -> tuple[Path, str | None]:
    """Returns the file that a source names, and its kind, `onnx` or `torchscript`: by its prefix or else by its ending."""
    for kind in (ONNX_FILE, TORCHSCRIPT_FILE):
        if source.startswith(f"{kind}:"):
            return Path(source.removeprefix(f"{kind}:")), kind
    path = Path(source)
    return path, ONNX_FILE if path.suffix == _ONNX else TORCHSCRIPT_FILE if path.suffix in _TORCHSCRIPT else None


def _open_file(options: ImportOptions) -> Opened:
    path, kind = file_of(options.source)
    if path.is_file() and kind != ONNX_FILE:
        refuse_weights(path)
    if not path.is_file() or kind is None:
        known = (
            f"{', '.join(EFFICIENTNET_LITE)}, torchvision:NAME, timm:NAME, {HUB}FOLDER, or a file ending in {_ONNX}, "
            f"{', '.join(_TORCHSCRIPT)}"
        )
        raise ExportError(f"cannot import {options.source}: {'no such file; ' if not path.is_file() else ''}give {known}")
    if options.weights is not None:
        raise ExportError(f"{path.name} holds its own weights; leave out --weights")
    if (options.mean is None) != (options.std is None):
        raise ExportError("--mean and --std belong together")
    normalisation = None if options.mean is None or options.std is None else (options.mean, options.std)
    candidate: OnnxFile | TorchScriptFile
    if kind == ONNX_FILE:
        candidate = OnnxFile(path, normalisation, options.input_size, options.last_layer)
    elif normalisation is None or options.input_size is None:
        raise ExportError(f"{path.name} does not say what it takes; say it with --input-size, --mean and --std")
    else:
        candidate = TorchScriptFile(path, normalisation, options.input_size, options.last_layer)
    mean, std = normalisation or _OWN
    height, width = candidate.size
    return Opened(
        candidate,
        Architecture(name=kind, widths=(), mean=mean, std=std),
        candidate.embedding_dim,
        InputSpec(height=height, width=width, interpolation=options.interpolation or "bicubic"),
        path.name,
        path.name,
        path,
    )
