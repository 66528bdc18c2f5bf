"""What does batching for everyone cost? The batcher under saturating load beside the raw session at its best batch size.

    python -m benchmarks.engine --json engine.json

One process, the same engine on the same threads for both, images already decoded; contestants take turns, ratios are medians over
the rounds. Each caller of the batcher sends one image and waits for its embedding before it sends the next.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import count as counting

import numpy as np

from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import paper_bundle
from benchmarks.shared.turns import Contestant, race
from models.engine import Engine, open_engine
from models.images.preprocess import Pixels
from server.engine.batcher import Batcher
from server.metrics import Metrics

_CALLERS = (1, 8, 64, 256)


def main() -> None:
    arguments = benchmark_parser("engine", __doc__, rounds=7, seconds=2.0).parse_args()

    bundle = paper_bundle()
    engine = open_engine(bundle)
    spec = bundle.manifest.input
    pixels = np.random.default_rng(0).integers(0, 256, (engine.max_batch, spec.height, spec.width, 3), dtype=np.uint8)
    raw = {
        f"raw, batches of {size}, {callers} at once": raw_session(engine, pixels[:size], callers)
        for callers in sorted({1, engine.parallel})
        for size in (1, 4, 8, engine.max_batch)
    }
    batcher = Batcher(engine, lambda _embeddings, _asked: [], max(_CALLERS), bundle.id, Metrics())
    shared = {f"batcher, {callers} callers": partial(_batched, batcher, pixels, callers) for callers in _CALLERS}
    rates = race({**raw, **shared}, arguments.rounds, arguments.seconds)
    batcher.close()

    best = max(raw, key=rates.median)
    print(f"{bundle.id} on {engine.kind}; images per second, and the share of the best raw session's")
    rows = []
    for name in rates.rounds:
        ratio = rates.ratio(name, best)
        rows.append({"way": name, "rate": rates.median(name), "of_best": asdict(ratio)})
        print(f"{name:<30}{rates.median(name):>8.0f}{ratio.median:>8.2f}  ({ratio.least:.2f}, {ratio.most:.2f})")
    write_json(arguments.json, {"bundle": bundle.id, "engine": engine.kind, "rows": rows})


def raw_session(engine: Engine, pixels: Pixels, callers: int) -> Contestant:
    """Returns the engine without a batcher, as a contestant: so many threads that embed `pixels` repeatedly. It counts
    images.
    """

    def run(count: int) -> int:
        batches = -(-count // len(pixels))
        with ThreadPoolExecutor(callers) as pool:
            for _ in pool.map(lambda _: engine.embed(pixels), range(batches)):
                pass
        return batches * len(pixels)

    return run


def _batched(batcher: Batcher, pixels: Pixels, callers: int, count: int) -> int:
    tickets = counting()

    async def call() -> None:
        while (ticket := next(tickets)) < count:
            await batcher.embed(pixels[ticket % len(pixels)][None])

    async def everyone() -> None:
        await asyncio.gather(*(call() for _ in range(callers)))

    asyncio.run(everyone())
    return count


if __name__ == "__main__":
    main()
