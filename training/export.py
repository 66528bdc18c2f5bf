"""Checkpoint -> bundle. Refuses when ONNX, TorchScript and eager PyTorch disagree.

The steps read from top to bottom in `export`. What needs embeddings runs on a draft of the bundle, opened by the engine that
serves, so that statistics, head defaults and evaluations describe what users will get.
"""

import re
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from models.backbones import PixelBackbone
from models.bundle import (
    GOLDEN,
    ONNX,
    ONNX_INT8,
    STATISTICS,
    TORCHSCRIPT,
    BundleError,
    golden_bytes,
    open_bundle,
    statistics_bytes,
    write_bundle,
)
from models.engine import Engine, EngineKind, embed_all, has_int8_instructions, open_engine
from models.heads import Float32
from models.manifest import BUNDLE_NAME, Evaluation, HeadDefaults, HeadOptions, InputSpec, Manifest, Training
from models.preprocess import Pixels
from training.card import model_card
from training.checkpoint import Checkpoint
from training.data import ImageSet
from training.episodes import EpisodeSampler
from training.evaluate import score
from training.graphs import to_int8, to_onnx, to_torchscript
from training.tuning import tune_heads

CARD = "README.md"
PARITY_TOLERANCE = 1e-4
INT8_MAX_LOSS = 0.003  # of accuracy, a share of one
INT8_MIN_SPEEDUP = 2.0

_SEED = 1
_GOLDEN_IMAGES = 8
_PARITY_IMAGES = 64
_CALIBRATION_IMAGES = 512
_STATISTICS_PER_CLASS = 200
_BACKGROUND = 2000
_EPISODES = 2000
_SPEED_BATCH = 32

Say = Callable[[str], None]
Scalar = TypeVar("Scalar", bound=np.generic)


class ExportError(Exception):
    """The exported files do not compute what the checkpoint does."""


@dataclass(frozen=True)
class Sources:
    """What an export reads: a finished run, and images of the classes it was split into."""

    checkpoint: Checkpoint
    base: ImageSet
    validation: ImageSet
    novel: ImageSet


def export(sources: Sources, name: str, version: str, out: Path, with_torchscript: bool, say: Say) -> Path:
    """Writes the bundle `<out>/<name>/<version>/` and returns its folder.

    Args:
        with_torchscript: whether `backbone.ts` is kept; its parity is checked either way.
        say: receives a line per step.

    Raises:
        ExportError: the run is not finished, the name or version is no name, or a file disagrees with eager PyTorch.
        BundleError: that version exists already.
        DataError: there are too few validation or novel classes for 5-way episodes.
    """
    if not sources.checkpoint.finished:
        raise ExportError("the run is not finished; resume it first")
    manifest = _manifest(sources, name, version)
    if (out / name / version).exists():
        raise BundleError(f"{out / name / version} exists already; give the new bundle another version")
    network = PixelBackbone(sources.checkpoint.trained_backbone()).eval()
    sample = _sample(sources.base.images, _CALIBRATION_IMAGES)
    graphs = _graphs(network, sample, say)
    golden = golden_bytes(sample[:_GOLDEN_IMAGES], _eager(network, sample[:_GOLDEN_IMAGES]))

    with tempfile.TemporaryDirectory() as scratch:
        blank = np.zeros(manifest.embedding_dim, dtype=np.float32)
        draft = {**graphs, GOLDEN: golden, STATISTICS: statistics_bytes(blank, blank[None])}
        engines = _open_draft(write_bundle(Path(scratch), manifest, draft))
        for kind in ("onnx", "torchscript"):
            error = _check_parity(engines[kind], network, sample[:_PARITY_IMAGES])
            say(f"{kind} agrees with eager PyTorch to {error:.1e} relative")

        say(f"embedding base images for the statistics, {_STATISTICS_PER_CLASS} per class")
        embeddings = embed_all(engines["onnx"], sources.base.first_per_class(_STATISTICS_PER_CLASS).images)
        mean = embeddings.mean(axis=0)

        say("choosing head defaults on validation episodes")
        scorer = _Scorer(sources, mean)
        validation = scorer.embed(engines["onnx"], "validation")
        heads = tune_heads(validation, mean, sources.validation.indices_by_class())
        for options in (heads.logistic, heads.ridge, heads.prototype):
            say(f"  {options.solver}: C {options.C:g}, temperature {options.temperature:g}, centre {options.centre}")

        if ONNX_INT8 in graphs and not _int8_passes(engines, scorer, heads.logistic, sample[:_SPEED_BATCH], say):
            del graphs[ONNX_INT8]
        evaluations = []
        for kind, file in (("onnx", ONNX), ("onnx-int8", ONNX_INT8)):
            if file in graphs:
                say(f"evaluating {file} on validation and novel classes, {_EPISODES} episodes each")
                evaluations += scorer.evaluations(engines[kind], file, heads)

    if not with_torchscript:
        del graphs[TORCHSCRIPT]
    final = manifest.model_copy(update={"head": heads, "evaluations": tuple(evaluations)})
    contents = {
        **graphs,
        GOLDEN: golden,
        STATISTICS: statistics_bytes(mean, _sample(embeddings, _BACKGROUND)),
        CARD: model_card(final).encode(),
    }
    return write_bundle(out, final, contents)


def _graphs(network: PixelBackbone, sample: Pixels, say: Say) -> dict[str, bytes]:
    """The backbone files by name; int8 calibrated on `sample` where this processor can measure whether it pays."""
    say("exporting ONNX and TorchScript")
    graphs = {ONNX: to_onnx(network, sample[:2]), TORCHSCRIPT: to_torchscript(network, sample[:2])}
    if has_int8_instructions():
        say(f"quantising to int8 on {len(sample)} base images")
        graphs[ONNX_INT8] = to_int8(graphs[ONNX], sample)
    else:
        say("no int8 version: this processor cannot measure whether it pays")
    return graphs


def _manifest(sources: Sources, name: str, version: str) -> Manifest:
    """The manifest of the draft: no files or evaluations yet, and untuned heads."""
    checkpoint = sources.checkpoint
    info, recipe = checkpoint.info, checkpoint.recipe
    untuned = HeadOptions(C=1.0, temperature=1.0, centre=True)
    for text in (name, version):
        if not re.fullmatch(BUNDLE_NAME, text):
            raise ExportError(f"{text!r} is no name; use lower-case letters, digits, '.', '_' and '-', at most 64")
    return Manifest(
        name=name,
        version=version,
        created_at=datetime.now(UTC).replace(microsecond=0),
        architecture=checkpoint.architecture,
        embedding_dim=checkpoint.trained_backbone().embedding_dim,
        input=InputSpec(height=recipe.input_size, width=recipe.input_size),
        head=HeadDefaults(logistic=untuned, ridge=untuned, prototype=untuned),
        training=Training(
            dataset=info.dataset,
            classes=info.classes,
            split=Path(info.split).stem,
            recipe=recipe.name,
            seed=info.seed,
            epochs=recipe.epochs,
            images=info.images,
            hardware=checkpoint.hardware,
            seconds=round(checkpoint.seconds, 1),
            git_revision=info.git_revision,
        ),
        evaluations=(),
        files={},
    )


def _open_draft(path: Path) -> Mapping[str, Engine]:
    bundle = open_bundle(path)
    kinds: list[EngineKind] = ["onnx", "torchscript"]
    if ONNX_INT8 in bundle.manifest.files:
        kinds.append("onnx-int8")
    return {kind: open_engine(bundle, kind) for kind in kinds}


@torch.inference_mode()
def _eager(network: PixelBackbone, pixels: Pixels) -> Float32:
    embeddings: Float32 = network(torch.from_numpy(pixels)).numpy()
    return embeddings


def _check_parity(engine: Engine, network: PixelBackbone, pixels: Pixels) -> float:
    wanted = _eager(network, pixels)
    error = float(np.linalg.norm(engine.embed(pixels) - wanted) / np.linalg.norm(wanted))
    if not error <= PARITY_TOLERANCE:  # NaN fails too.
        raise ExportError(f"{engine.kind} disagrees with eager PyTorch: relative error {error:.2g} > {PARITY_TOLERANCE:g}")
    return error


class _Scorer:
    """Scores engines on the validation and novel classes, embedding each set once per engine."""

    def __init__(self, sources: Sources, mean: Float32) -> None:
        self._images = {"validation": sources.validation, "test": sources.novel}
        self._dataset = sources.checkpoint.info.dataset
        self._mean = mean
        self._embedded: dict[tuple[EngineKind, str], Float32] = {}

    def embed(self, engine: Engine, part: str) -> Float32:
        key = engine.kind, part
        if key not in self._embedded:
            self._embedded[key] = embed_all(engine, self._images[part].images)
        return self._embedded[key]

    def evaluation(
        self, engine: Engine, file: str, part: Literal["validation", "test"], options: HeadOptions, shots: int
    ) -> Evaluation:
        sampler = EpisodeSampler(self._images[part].indices_by_class(), 5, shots, 15, _SEED)
        scored = score(self.embed(engine, part), self._mean, sampler, _EPISODES, options)
        return Evaluation(dataset=self._dataset, part=part, file=file, solver=options.solver, seed=_SEED, **asdict(scored))

    def evaluations(self, engine: Engine, file: str, heads: HeadDefaults) -> list[Evaluation]:
        """Both parts at 1 and 5 shots: every solver on the validation classes, the default one on the novel classes."""
        parts: tuple[tuple[Literal["validation", "test"], HeadOptions], ...] = (
            ("validation", heads.logistic),
            ("validation", heads.ridge),
            ("validation", heads.prototype),
            ("test", heads.options()),
        )
        return [self.evaluation(engine, file, part, options, shots) for part, options in parts for shots in (1, 5)]


def _int8_passes(engines: Mapping[str, Engine], scorer: _Scorer, options: HeadOptions, batch: Pixels, say: Say) -> bool:
    """The two gates of an int8 backbone: accuracy on validation episodes, and speed on this machine."""
    losses = []
    for shots in (1, 5):
        plain, small = (
            scorer.evaluation(engines[kind], kind, "validation", options, shots).accuracy for kind in ("onnx", "onnx-int8")
        )
        losses.append(plain - small)
    speedup = _speedup(engines["onnx-int8"], engines["onnx"], batch)
    passes = max(losses) <= INT8_MAX_LOSS and speedup >= INT8_MIN_SPEEDUP
    say(
        f"int8 {'kept' if passes else 'left out'}: loses {100 * max(losses):.2f} points "
        f"(allowed {100 * INT8_MAX_LOSS:g}), runs {speedup:.1f} times as fast (needed {INT8_MIN_SPEEDUP:g})"
    )
    return passes


def _speedup(fast: Engine, slow: Engine, batch: Pixels) -> float:
    """The median ratio of the two engines' times for a batch, measured in turns."""

    def seconds(engine: Engine) -> float:
        started = time.perf_counter()
        engine.embed(batch)
        return time.perf_counter() - started

    return statistics.median(seconds(slow) / seconds(fast) for _ in range(15))


def _sample(rows: NDArray[Scalar], count: int) -> NDArray[Scalar]:
    order = np.random.default_rng(_SEED).permutation(len(rows))[:count]
    return rows[order]
