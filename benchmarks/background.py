"""What does background embedding cost callers who wait for predictions, and how fast is it beside them?

    python -m benchmarks.background --json background.json

Callers of the batcher, each with one image at a time, take turns without background work and beside it. The background work also
runs alone.
"""

import asyncio
import math
import time
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np

from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import paper_bundle
from models.engine import open_engine
from models.images.preprocess import Pixels
from server.engine.batcher import Batcher
from server.metrics import Metrics

_CALLERS = (1, 8, 64)


@dataclass(frozen=True)
class Turn:
    """Milliseconds of the callers' median and 99th percentile, and images per second of theirs and of the background."""

    p50: float
    p99: float
    rate: float
    background: float


def main() -> None:
    parser = benchmark_parser("background", __doc__, rounds=5, seconds=2.0)
    arguments = parser.parse_args()
    bundle = paper_bundle()
    batcher = Batcher(open_engine(bundle), lambda _embeddings, _asked: [], 10_000, bundle.id, Metrics())
    figures = {}
    print(f"{'callers':>8}{'':>12}{'p50, ms':>9}{'p99, ms':>9}{'images/s':>10}{'background images/s':>21}")
    for callers in (0, *_CALLERS):
        turns: dict[str, list[Turn]] = {"alone": [], "beside": []}
        for _ in range(arguments.rounds):
            for name, taken in turns.items():
                if callers or name == "beside":
                    taken.append(asyncio.run(_turn(batcher, bundle.golden_pixels, callers, name == "beside", arguments.seconds)))
        for name, taken in turns.items():
            if taken:
                middle = [median(getattr(turn, what) for turn in taken) for what in ("p50", "p99", "rate", "background")]
                print(f"{callers:>8}{name:>12}{middle[0]:>9.1f}{middle[1]:>9.1f}{middle[2]:>10.0f}{middle[3]:>21.0f}", flush=True)
        figures[callers] = {name: [asdict(turn) for turn in taken] for name, taken in turns.items()}
    batcher.close()
    write_json(arguments.json, figures)


async def _turn(batcher: Batcher, images: Pixels, callers: int, beside: bool, seconds: float) -> Turn:
    end = time.perf_counter() + seconds
    waits: list[float] = []
    embedded = 0

    async def call() -> None:
        while (began := time.perf_counter()) < end:
            await batcher.embed(images[:1])
            waits.append(time.perf_counter() - began)

    async def work() -> None:
        nonlocal embedded
        while time.perf_counter() < end:
            await batcher.embed_in_background(images)
            embedded += len(images)

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)), *([work() for _ in range(2)] if beside else []))
    taken = time.perf_counter() - began
    p50, p99 = (1e3 * float(np.percentile(waits, percent)) if waits else math.nan for percent in (50, 99))
    return Turn(p50, p99, len(waits) / taken, embedded / taken)


if __name__ == "__main__":
    main()
