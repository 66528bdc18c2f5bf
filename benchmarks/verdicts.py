"""What does it cost to tell strangers and nearest examples? Predictions with their verdict and without, in turns.

    python -m benchmarks.verdicts --json verdicts.json

A server as the README starts it, and a task of 25 sample images of five classes in it. Ratios are of throughput, turn by turn,
over 64 connections for one image a request and 4 for 32.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.http import Served
from benchmarks.server_process import ServerProcess
from benchmarks.serving.load import LoadGenerator, post_form, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, sample_images, support_set
from benchmarks.shared.turns import race

_TOGETHER = 32
_WITHOUT = "unknown=ignore"
_WAYS = ("", "mode=transductive")


def main() -> None:
    arguments = benchmark_parser("verdicts", __doc__, rounds=15, seconds=2.0).parse_args()
    images = sample_images()
    with (
        TemporaryDirectory() as folder,
        ServerProcess(Path(folder) / "data") as server,
        LoadGenerator(server.url) as load,
    ):
        with httpx.Client(base_url=server.url, timeout=60) as api:
            predict = f"{create_task(api, support_set())}/predict"
        single = {query: Served(load, post_images(f"{predict}?{query}", images), 1, 64) for query in (_WITHOUT, "")}
        several = {query: Served(load, [_form(f"{predict}?{query}", images)], _TOGETHER, 4) for query in (_WITHOUT, *_WAYS)}
        rows = []
        for title, ways in (("one image a request", single), (f"{_TOGETHER} images a request", several)):
            rates = race(ways, arguments.rounds, arguments.seconds)
            print(f"{title}: {rates.median(_WITHOUT):.0f} images/s with {_WITHOUT}")
            for query in ways:
                if query != _WITHOUT:
                    ratio = rates.ratio(query, _WITHOUT)
                    print(f"  {query or 'with the verdict':<20}{ratio} of that")
                    rows.append({"images": title, "query": query, "rate": rates.median(query), **asdict(ratio)})
    write_json(arguments.json, {"rows": rows})


def _form(path: str, images: Sequence[bytes]) -> bytes:
    return post_form(path, [("images", image) for image in islice(cycle(images), _TOGETHER)])


if __name__ == "__main__":
    main()
