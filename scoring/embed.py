"""Backbones that embed: each opened from a bundle, checked by the hash of its file, and run by the engine for this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.arrays import on_host
from models.bundle import Bundle, BundleError, find_file
from models.engine import Engine, EngineError, EngineKind, file_of, on_cuda, open_engine
from models.heads.head import BackboneRef, EmbeddingSpace, Float32
from models.images.preprocess import ImageError
from models.manifest import InputSpec
from models.novelty.detector import Background
from models.runtimes.onnx import can_run
from scoring.decode import Decoded
from scoring.errors import ScoringError

_CPU_PIXELS = 8 * 160 * 160  # of a batch on a CPU; its caches do not hold what the first layers make of more


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """N images, embedded by each of the backbones.

    Attributes:
        paths: N.
        sizes: N, in bytes; None where a file cannot be read.
        errors: for each backbone N entries: code and detail, or None.
        embeddings: for each backbone float32 (M, D) of the images without an error, in order.
    """

    paths: Sequence[str]
    sizes: Sequence[int | None]
    errors: Sequence[Sequence[tuple[str, str] | None]]
    embeddings: Sequence[Float32]

    @classmethod
    def joined(cls, parts: "Sequence[Embedded]") -> "Embedded":
        """Returns the images of several, one after another."""
        backbones = range(len(parts[0].errors))
        return cls(
            [path for part in parts for path in part.paths],
            [size for part in parts for size in part.sizes],
            [[error for part in parts for error in part.errors[at]] for at in backbones],
            [np.concatenate([part.embeddings[at] for part in parts]) for at in backbones],
        )


class HeadSpace:
    """A backbone file as decoders and `scoring.classify` need it."""

    def __init__(self, bundle: Bundle, space: EmbeddingSpace) -> None:
        self.space = space
        self.ref: BackboneRef = space.backbone
        self.spec: InputSpec = bundle.manifest.input
        self.background = Background.of(bundle.background, bundle.feature_mean, bundle.manifest.head.novelty)


class Backbone(HeadSpace):
    """A backbone file with its engine, as `embed` needs it."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        super().__init__(bundle, engine.space)
        self.bundle, self.engine = bundle, engine


def find_space(wanted: BackboneRef, folder: Path | None) -> HeadSpace:
    """Finds exactly the file that a classifier was made with, and opens no engine.

    Args:
        folder: of bundles, beside those that are shipped.

    Raises:
        ScoringError: no folder has that bundle, its file is another one, or it is damaged.
    """
    try:
        bundle, file = find_file(wanted, folder)
        return HeadSpace(bundle, bundle.space(file))
    except BundleError as error:
        raise ScoringError(str(error)) from error


def open_backbone(wanted: BackboneRef, folder: Path | None, threads: int | None = None) -> Backbone:
    """Opens exactly the file that a classifier was made with, on a GPU if this machine has one.

    Args:
        folder: of bundles, beside those that are shipped.
        threads: CPU threads of one inference; by default, the cores that this process may use.

    Raises:
        ScoringError: no folder has that bundle, its file is another one, it is damaged, or it does not run here.
    """
    try:
        return _opened(*find_file(wanted, folder), threads)
    except (BundleError, EngineError) as error:
        raise ScoringError(str(error)) from error


def _opened(bundle: Bundle, file: str, threads: int | None) -> Backbone:
    cuda: list[EngineKind] = ["onnx-cuda", "onnx-fp16-cuda"] if can_run("onnx-cuda") else []
    failed = EngineError(f"bundle {bundle.id}: no engine runs {file}")
    for kind in (*cuda, "onnx", "onnx-int8", "onnx-fp16", "torchscript"):
        if file_of(kind) == file:
            try:
                return Backbone(bundle, open_engine(bundle, kind, threads))
            except EngineError as error:
                failed = error
    raise failed


def batch_of(backbone: Backbone) -> int:
    """Returns with how many images at once the backbone is fastest, where more are always waiting."""
    engine, spec = backbone.engine, backbone.spec
    return engine.max_batch if on_cuda(engine.kind) else min(engine.max_batch, max(1, _CPU_PIXELS // (spec.height * spec.width)))


def embed(decoded: Sequence[Decoded], backbones: Sequence[Backbone]) -> Embedded:
    """Embeds at most as many images as the engines take in a batch."""
    errors, embeddings = [], []
    for at, backbone in enumerate(backbones):
        readable = [pixels for each in decoded if not isinstance(pixels := each.pixels[at], ImageError)]
        failures = [each.pixels[at] for each in decoded]
        errors.append([(each.code, each.detail) if isinstance(each, ImageError) else None for each in failures])
        none = np.empty((0, backbone.bundle.manifest.embedding_dim), np.float32)
        embeddings.append(on_host(backbone.engine.embed(np.stack(readable))) if readable else none)
    return Embedded([each.path for each in decoded], [each.size for each in decoded], errors, embeddings)
