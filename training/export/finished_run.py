"""Makes a bundle of a finished run."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch

from models.backbones import Backbone, PixelBackbone, Projected
from models.manifest import InputSpec, Training
from training.calibration.scoring import Say
from training.data.dataset import DatasetParts
from training.evaluation.episodes import Embedded
from training.export.bundle import ExportError, draft_manifest, make_bundle, refuse_taken
from training.export.candidate import Eager
from training.export.within_class import within_class_projection
from training.run.checkpoint import Checkpoint

_PROJECTION_IMAGES = 20  # of each base class


def export(
    checkpoint: Checkpoint,
    datasets: Sequence[DatasetParts],
    name: str,
    version: str,
    out: Path,
    without: Collection[str],
    say: Say,
    input_size: int | None = None,
) -> Path:
    """Writes the bundle `<out>/<name>/<version>/` of a finished run and returns its folder.

    Args:
        datasets: those of the run, and others that it is to be evaluated on; one at least has base images. Each counts as much
            as any other, in the statistics and in every choice.
        without: names of files to leave out. The parity of `backbone.ts` is checked either way.
        say: receives a line per step.
        input_size: side of the bundle's input, in pixels; None for the run's.

    Raises:
        ExportError: the run is not finished, the name or version is not allowed, or a file disagrees with eager PyTorch.
        BundleError: that version exists already.
        DataError: there are too few validation or novel classes for 5-way episodes.
    """
    refuse_hopeless(checkpoint, name, version, out)
    backbone = checkpoint.trained_backbone()
    if checkpoint.recipe.projection is not None:
        backbone = _projected(backbone, datasets, checkpoint.recipe.projection, say)
    size = input_size or checkpoint.recipe.input_size
    draft = draft_manifest(
        name,
        version,
        checkpoint.architecture,
        backbone.embedding_dim,
        InputSpec(height=size, width=size),
        _training(checkpoint),
    )
    return make_bundle(draft, Eager(PixelBackbone(backbone)), datasets, out, without, say)


def _projected(backbone: Backbone, datasets: Sequence[DatasetParts], width: int, say: Say) -> Backbone:
    """Returns the backbone with a last layer of that width, fitted on some images of every base class."""
    eager = Eager(PixelBackbone(backbone))
    parts = []
    for images in (data.base for data in datasets if data.base is not None):
        by_class = [own[:_PROJECTION_IMAGES] for own in images.indices_by_class() if len(own) > 1]
        say(f"embedding {sum(map(len, by_class))} images for the projection")
        embeddings = np.concatenate([eager.embed(images.images[own]) for own in by_class])
        ends = np.cumsum([len(own) for own in by_class])
        parts.append(Embedded(embeddings, np.split(np.arange(len(embeddings)), ends[:-1])))
    matrix = within_class_projection(parts, width)
    network = Projected(backbone.network, torch.from_numpy(matrix))
    mean, std = (tuple(values.flatten().tolist()) for values in (backbone.mean, backbone.std))
    return Backbone(network, mean, std)


def refuse_hopeless(checkpoint: Checkpoint, name: str, version: str, out: Path) -> None:
    """Fails, before any image is read, where the export would fail at its end.

    Raises:
        ExportError: the run is not finished, or the name or version is not allowed.
        BundleError: that version exists already.
    """
    if not checkpoint.finished:
        raise ExportError("the run is not finished; resume it first")
    refuse_taken(out, name, version)


def _training(checkpoint: Checkpoint) -> Training:
    info, recipe = checkpoint.info, checkpoint.recipe
    return Training(
        dataset=" + ".join(data.split.dataset for data in info.datasets),
        classes=info.classes,
        split=" + ".join(Path(data.split_source).stem for data in info.datasets),
        recipe=recipe.name,
        seed=info.seed,
        epochs=recipe.epochs,
        images=sum(data.images for data in info.datasets),
        hardware=checkpoint.hardware,
        seconds=round(checkpoint.seconds, 1),
        git_revision=info.git_revision,
        initial=info.initial,
    )
