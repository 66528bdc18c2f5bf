"""Does a GPU answer as the CPU does? Every engine, every solver, and batches of mixed tasks, against NumPy on the CPU.

    python -m benchmarks.gpu_answers --json gpu_answers.json

It fails where an engine's embeddings are off by more than 1 % of their norm, or probabilities by more than 1e-4. `--device cpu`
tries it without a GPU.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import torch

from benchmarks.head import DIM
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.float16 import with_float16
from benchmarks.shared.setting import paper_bundle
from models.answers.on_device import DeviceAnswers
from models.answers.on_host import HostAnswers
from models.answers.question import Answer, Question
from models.bundle import Bundle, BundleError
from models.engine import Engine, EngineError, EngineKind, embed_all, open_engine
from models.heads.fitter import Fitter
from models.heads.head import EmbeddingSpace, Float32, Head
from models.manifest import HeadOptions, Solver
from models.novelty.detector import Background
from models.novelty.support_index import SupportIndex
from training.devices import describe, pick_device

_SHOTS = 2
_EMBEDDINGS, _PROBABILITIES = 1e-2, 1e-4  # the greatest difference
_IMAGES = 100


@dataclass(frozen=True)
class Row:
    """A comparison: the greatest difference from the CPU's answer, None if it does not run here, and the most that it may be."""

    what: str
    difference: float | None
    limit: float

    @property
    def is_wrong(self) -> bool:
        return self.difference is not None and not self.difference <= self.limit  # NaN is wrong.


def main() -> None:
    parser = benchmark_parser("gpu_answers", __doc__)
    parser.add_argument("--device", default="auto", help="cuda, cpu, or auto: cuda where it is (default %(default)s)")
    parser.add_argument(
        "--ways", type=int, nargs="+", default=[2, 5, 20, 100, 1000], help="classes of the tasks (default %(default)s)"
    )
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    bundle = paper_bundle()
    print(f"{bundle.id}, {describe(device, 1)}, PyTorch {torch.__version__}; the greatest difference from the CPU")
    rows = []
    with TemporaryDirectory() as folder:
        for row in (*_engines(with_float16(bundle, Path(folder))), *_heads(bundle, device, arguments.ways)):
            rows.append(row)
            found = "does not run here" if row.difference is None else f"{row.difference:.1e}"
            print(f"{row.what:<50}{found:>18}{'  WRONG' if row.is_wrong else ''}", flush=True)
    write_json(arguments.json, [asdict(row) for row in rows])
    if any(row.is_wrong for row in rows):
        sys.exit("some answers are not the CPU's")


def _engines(bundle: Bundle) -> Iterator[Row]:
    """Compares the embeddings of every kind of engine, copied to the host and left where they are made."""
    spec = bundle.manifest.input
    pixels = np.random.default_rng(0).integers(0, 256, (_IMAGES, spec.height, spec.width, 3), dtype=np.uint8)
    pixels = np.concatenate([bundle.golden_pixels, pixels])
    wanted = embed_all(open_engine(bundle, "onnx"), pixels)
    kinds: Sequence[EngineKind] = [kind for kind in get_args(EngineKind) if kind not in {"auto", "onnx-int8"}]
    for kind in kinds:
        for place, tensors_on in (("copied", ()), ("left there", ("cpu", "cuda"))):
            what = f"embeddings by {kind}, {place}"
            try:
                engine: Engine = open_engine(bundle, kind, tensors_on=tensors_on)
            except EngineError:
                yield Row(what, None, _EMBEDDINGS)
            except BundleError as error:  # It is off by more than the golden check allows.
                print(error)
                yield Row(what, math.inf, _EMBEDDINGS)
            else:
                found = embed_all(engine, pixels)
                yield Row(what, float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted)), _EMBEDDINGS)


def _heads(bundle: Bundle, device: torch.device, all_ways: Sequence[int]) -> Iterator[Row]:
    """Compares fits on the device by every solver, and then one batch that all those tasks are asked in."""
    space = EmbeddingSpace(bundle.space("backbone.onnx").backbone, bundle.feature_mean)
    background = Background.of(bundle.background, bundle.feature_mean, bundle.manifest.head.novelty)
    rng = np.random.default_rng(0)
    queries = _drawn(rng, 3 * len(all_ways) * len(get_args(Solver)))
    asked: list[tuple[Question, slice]] = []
    for solver in get_args(Solver):
        for ways in all_ways:
            labels = [str(k) for k in range(ways)] * _SHOTS
            support = _drawn(rng, ways * _SHOTS) + np.tile(_drawn(rng, ways), (_SHOTS, 1))
            options = HeadOptions(solver=solver, C=1.0, centre=True, temperature=1.0)
            here, there = (Fitter(space, where).fit(support, labels, options) for where in (None, device))
            yield Row(f"fit by {solver}, {ways} ways", _apart(here, there, queries, space), _PROBABILITIES)
            index = SupportIndex.of(support, np.tile(np.arange(ways), _SHOTS), background)
            asked.append((Question(there, index, 3), slice(3 * len(asked), 3 * len(asked) + 3)))
    on_host = HostAnswers(space, lambda: background)(queries, asked)
    on_device = DeviceAnswers(space, lambda: background, device)(torch.from_numpy(queries).to(device), asked)
    yield Row("a mixed batch, probabilities", _greatest(on_host, on_device, "probabilities"), _PROBABILITIES)
    yield Row("a mixed batch, novelty", _greatest(on_host, on_device, "novelty"), 1e-3)
    yield Row("a mixed batch, similarities", _greatest(on_host, on_device, "similarities"), 1e-4)


def _drawn(rng: np.random.Generator, count: int) -> Float32:
    return rng.normal(0.5, 1.0, (count, DIM)).astype(np.float32)


def _apart(one: Head, other: Head, queries: Float32, space: EmbeddingSpace) -> float:
    return float(np.abs(one.probabilities(queries, space) - other.probabilities(queries, space)).max())


def _greatest(one: Sequence[Answer], other: Sequence[Answer], name: str) -> float:
    def values(answer: Answer) -> Float32:
        found: Float32 = getattr(answer if name == "probabilities" else answer.neighbours, name)
        return found

    # NumPy's maximum is NaN if a number is; Python's would pass over it.
    return float(np.max([np.abs(values(a) - values(b)).max() for a, b in zip(one, other, strict=True)]))


if __name__ == "__main__":
    main()
