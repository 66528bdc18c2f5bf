"""Makes a bundle of a network. Refuses when ONNX, TorchScript and their source disagree.

`make_bundle` reads from top to bottom. It takes trained checkpoints (`training.export.finished_run`) and networks made elsewhere
(`training.importing.network`). Each step that needs embeddings runs on a draft of the bundle, opened by the engine that serves.
So statistics, head defaults and evaluations describe what users will get.
"""

import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.bundle import (
    CARD,
    DEFAULT_BUNDLE,
    GOLDEN,
    ONNX,
    ONNX_FP16,
    ONNX_INT8,
    SHIPPED,
    STATISTICS,
    TORCHSCRIPT,
    BundleError,
    find_bundles,
    golden_bytes,
    open_bundle,
    read_manifest,
    statistics_bytes,
    write_bundle,
)
from models.engine import Engine, EngineError, EngineKind, embed_all, open_engine
from models.heads.head import Float32
from models.heads.solvers import METHODS
from models.images.preprocess import Pixels
from models.manifest import (
    BUNDLE_NAME,
    Architecture,
    HeadDefaults,
    Imported,
    InputSpec,
    Manifest,
    Training,
)
from models.processor import has_int8_instructions
from training.calibration.scoring import Say, Scorer, base_mean
from training.calibration.untuned import untuned_heads
from training.data.dataset import DatasetParts
from training.export.accuracy_gate import agrees, loses_little
from training.export.candidate import Candidate
from training.export.card import model_card
from training.export.float16 import open_as_on_gpu
from training.export.golden import golden_pixels
from training.export.graphs import GraphError, to_float16, to_int8

PARITY_TOLERANCE = 1e-4

_SEED = 1
_PARITY_IMAGES = 64
_CALIBRATION_IMAGES = 512
_BACKGROUND = 1000
_EPISODES = 2000

_KINDS: dict[str, EngineKind] = {ONNX: "onnx", TORCHSCRIPT: "torchscript"}
_SMALLER: dict[str, EngineKind] = {ONNX_INT8: "onnx-int8", ONNX_FP16: "onnx-fp16"}  # versions of less precision

Scalar = TypeVar("Scalar", bound=np.generic)


class ExportError(Exception):
    """A bundle that cannot be made, or whose files disagree with their source."""


def refuse_taken(out: Path, name: str, version: str) -> None:
    """Fails early if the bundle could not be written at the end.

    Raises:
        ExportError: the name or the version is not allowed.
        BundleError: that version exists already.
    """
    for text in (name, version):
        if not re.fullmatch(BUNDLE_NAME, text):
            raise ExportError(f"{text!r} is not a valid name; use lower-case letters, digits, '.', '_' and '-', at most 64")
    if (out / name / version).exists():
        raise BundleError(f"{out / name / version} exists already; give the new bundle another version")


def draft_manifest(
    name: str,
    version: str,
    architecture: Architecture,
    embedding_dim: int,
    spec: InputSpec,
    training: Training | Imported,
) -> Manifest:
    """Returns the manifest of a draft: no files or evaluations yet, and the head defaults of the bundle that new tasks get."""
    return Manifest(
        name=name,
        version=version,
        created_at=datetime.now(UTC).replace(microsecond=0),
        architecture=architecture,
        embedding_dim=embedding_dim,
        input=spec,
        head=read_manifest(find_bundles(SHIPPED)[DEFAULT_BUNDLE]).head,
        training=training,
        evaluations=(),
        files={},
    )


def make_bundle(
    draft: Manifest,
    candidate: Candidate,
    datasets: Sequence[DatasetParts],
    out: Path,
    without: Collection[str],
    say: Say,
    further: Mapping[str, bytes] = MappingProxyType({}),
) -> Path:
    """Writes the bundle that `draft` begins to describe, and returns its folder.

    For other arguments and errors see `training.export.finished_run.export`.

    Args:
        further: files that the bundle gets as they are, by name.
    """
    base = [data.base for data in datasets if data.base is not None]
    sample = _evenly([images.images for images in base], _CALIBRATION_IMAGES)
    graphs = _graphs(candidate, sample, without, say)
    golden = golden_pixels(draft.input.height, draft.input.width)
    fixed = {**further, GOLDEN: golden_bytes(golden, candidate.embed(golden))}

    with tempfile.TemporaryDirectory() as scratch:
        engines = _open_draft(Path(scratch), draft, {**graphs, **fixed}, say)
        _check_parity(engines, candidate, sample[:_PARITY_IMAGES], say)
        say(f"embedding {sum(map(len, base))} images for the statistics")
        embeddings = [embed_all(engines["onnx"], images.images) for images in base]
        if not all(np.abs(each).max() <= np.finfo(np.float16).max for each in embeddings):  # NaN fails too.
            raise ExportError("embeddings of the given images are not finite, or too large for the statistics")
        mean = base_mean(embeddings)
        background = _evenly(embeddings, _BACKGROUND).astype(np.float16).astype(np.float32)  # as a reader of the bundle gets it
        scorer = Scorer(datasets, mean, background, _EPISODES)
        chosen = any(data.validation for data in datasets)
        heads = scorer.choose_heads(engines["onnx"], say) if chosen else untuned_heads(np.concatenate(embeddings), mean, say)
        for options in map(heads.options, METHODS):
            say(f"  {options.solver}: C {options.C:g}, temperature {options.temperature:.3g}, centre {options.centre}")
        for file in _SMALLER:
            if not _keeps(file, engines, scorer if chosen else None, heads, mean, sample, say):
                graphs.pop(file, None)
        evaluations = []
        for file, kind in {ONNX: "onnx", **_SMALLER}.items():
            if file in graphs and any(data.validation or data.novel for data in datasets):
                say(f"evaluating {file}, {_EPISODES} episodes for each line of the card")
                evaluations += scorer.evaluations(engines[kind], file, heads)

    graphs = {file: content for file, content in graphs.items() if file not in without}
    final = draft.model_copy(update={"head": heads, "evaluations": tuple(evaluations)})
    fixed |= {STATISTICS: statistics_bytes(mean, background), CARD: model_card(final).encode()}
    return write_bundle(out, final, {**graphs, **fixed})


def _graphs(candidate: Candidate, sample: Pixels, without: Collection[str], say: Say) -> dict[str, bytes]:
    """Returns the backbone files by name. Versions of less precision are among them if their accuracy can be measured here; int8
    is calibrated on `sample`.
    """
    say("making ONNX and TorchScript")
    graphs = candidate.graphs(sample[:2])
    if not has_int8_instructions():
        say("no int8 version: this processor cannot measure what it costs")
    else:
        say(f"quantising to int8 on {len(sample)} images")
        try:
            graphs[ONNX_INT8] = to_int8(graphs[ONNX], sample)
        except GraphError as error:
            say(f"no int8 version: {error}")
    if ONNX_FP16 not in without:
        say("converting to float16")
        try:
            graphs[ONNX_FP16] = to_float16(graphs[ONNX])
        except GraphError as error:
            say(f"no float16 version: {error}")
    return graphs


def _keeps(
    file: str,
    engines: Mapping[str, Engine],
    scorer: Scorer | None,
    heads: HeadDefaults,
    mean: Float32,
    sample: Pixels,
    say: Say,
) -> bool:
    """Returns whether the bundle keeps a file of less precision; `scorer` is None where no validation classes can measure its
    accuracy.
    """
    if _SMALLER[file] not in engines:
        return False
    name, small, plain = _name(file), engines[_SMALLER[file]], engines["onnx"]
    if scorer is None:
        return agrees(name, small, plain, mean, sample, say)
    return loses_little(name, small, plain, scorer, heads.logistic, say)


def _name(file: str) -> str:
    return _SMALLER[file].removeprefix("onnx-")


def _open_draft(folder: Path, draft: Manifest, contents: Mapping[str, bytes], say: Say) -> dict[str, Engine]:
    """Returns an engine for each file. A file of less precision gets none if it is so far from float32 that it would not be
    served.
    """
    blank = np.zeros(draft.embedding_dim, dtype=np.float32)
    bundle = open_bundle(write_bundle(folder, draft, {**contents, STATISTICS: statistics_bytes(blank, blank[None])}))
    engines: dict[str, Engine] = {kind: open_engine(bundle, kind) for file, kind in _KINDS.items() if file in contents}
    for file, kind in _SMALLER.items():
        if file not in contents:
            continue
        try:
            engines[kind] = open_as_on_gpu(bundle) if file == ONNX_FP16 else open_engine(bundle, kind)
        except (BundleError, EngineError) as error:
            say(f"{_name(file)} left out: {error.problem}")
    return engines


def _check_parity(engines: Mapping[str, Engine], candidate: Candidate, pixels: Pixels, say: Say) -> None:
    wanted = candidate.embed(pixels)
    for kind in ("onnx", "torchscript"):
        if kind in engines:
            error = float(np.linalg.norm(embed_all(engines[kind], pixels) - wanted) / np.linalg.norm(wanted))
            if not error <= PARITY_TOLERANCE:  # NaN fails too.
                raise ExportError(f"{kind} disagrees with {candidate.name}: relative error {error:.2g} > {PARITY_TOLERANCE:g}")
            say(f"{kind} agrees with {candidate.name} to {error:.1e} relative")


def _evenly(parts: Sequence[NDArray[Scalar]], count: int) -> NDArray[Scalar]:
    """Returns `count` rows, or all there are: a random one of each part in turn, as long as it has any left."""
    orders = [np.random.default_rng(_SEED).permutation(len(rows)) for rows in parts]
    turns = sorted((turn, part) for part, order in enumerate(orders) for turn in range(min(len(order), count)))
    return np.stack([parts[part][orders[part][turn]] for turn, part in turns[:count]])
