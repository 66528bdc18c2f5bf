"""What does it cost to ask many tasks about one image? 1 to 1,000 of them in one call, beside one task's own address.

    python -m benchmarks.many_tasks --json many_tasks.json

One connection in a closed loop, one image a request. So a request's time is the server's and that of reading the reply. The
tasks are 5-way ones, copies in the database of one that was created over HTTP. In the rows "anew" they come in orders that the
server has not met recently, so it can use nothing that it keeps of such requests. Ratios are of medians, turn by turn.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from statistics import median

import httpx

from benchmarks.http import Served
from benchmarks.server_process import ServerProcess
from benchmarks.serving.filled import filled
from benchmarks.serving.load import LoadGenerator, post_form, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import sample_images
from benchmarks.shared.turns import Ratio, race

_TASKS = 1000
_COUNTS = (1, 10, 100, _TASKS)
_STARTS = 3
_ORDERS = 20  # of so many that the server forgets the first before it comes again
_OWN, _RAW, _FORM = "its own address", "raw", "multipart"


def main() -> None:
    arguments = benchmark_parser("many_tasks", __doc__, rounds=7, seconds=2.0).parse_args()
    with filled(_TASKS - 1) as (data_dir, ids):
        cold = [_cold(data_dir) for _ in range(_STARTS)]
        with ServerProcess(data_dir) as server, LoadGenerator(server.url) as load:
            ways = _ways(load, ids)
            race(ways, arguments.rounds, arguments.seconds)
    for way in ways.values():
        del way.outcomes[: -arguments.rounds]  # those that only found out how much fits a turn
    rows = []
    print(f"{'':<22}{'p50, ms':>9}{'p99, ms':>9}   of one task's")
    for name, way in ways.items():
        form = name.partition(",")[0]
        ratio = _ratio(way, ways[name if form == _OWN else f"{form}, 1"])
        print(f"{name:<22}{way.milliseconds(50):>9.1f}{way.milliseconds(99):>9.1f}   {ratio}")
        rows.append({"way": name, "p50": way.milliseconds(50), "p99": way.milliseconds(99), "ratio": asdict(ratio)})
    print(f"the first request for all after a start, {_TASKS:,} heads to be read: {median(cold):.0f} ms, of {_STARTS} starts")
    write_json(arguments.json, {"ways": rows, "cold_ms": cold})


def _cold(data_dir: Path) -> float:
    """Milliseconds of the first request for all tasks."""
    with ServerProcess(data_dir) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        api.get("/healthz")
        image = sample_images()[0]
        started = time.perf_counter()
        api.post("/v1/predict?tasks=all", content=image, headers={"Content-Type": "image/png"}).raise_for_status()
        return 1e3 * (time.perf_counter() - started)


def _ways(load: LoadGenerator, ids: Sequence[str]) -> dict[str, Served]:
    """Every way of asking; the tasks in the query, and in one text of a form."""
    images = sample_images()[:10]
    requests = {_OWN: post_images(f"/v1/tasks/{ids[0]}/predict", images)}
    for count in _COUNTS:
        requests[f"{_RAW}, {count:,}"] = post_images(f"/v1/predict?tasks={','.join(ids[:count])}", images)
    shifted = [[*ids[by:], *ids[:by]] for by in range(_ORDERS)]
    requests[f"{_RAW}, {_TASKS:,} anew"] = [
        post_images(f"/v1/predict?tasks={','.join(order)}", [image])[0]
        for order, image in zip(shifted, cycle(images), strict=False)
    ]
    requests[f"{_RAW}, all {_TASKS:,}"] = post_images("/v1/predict?tasks=all", images)
    requests[f"{_RAW}, all, judged"] = post_images("/v1/predict?tasks=all&unknown=judge", images)
    for count in (1, _TASKS):
        fields = {"tasks": ",".join(ids[:count])}
        requests[f"{_FORM}, {count:,}"] = [post_form("/v1/predict", [("images", image)], fields) for image in images]
    return {name: Served(load, asked, 1, 1) for name, asked in requests.items()}


def _ratio(way: Served, one: Served) -> Ratio:
    ratios = [mine.percentile(50) / other.percentile(50) for mine, other in zip(way.outcomes, one.outcomes, strict=True)]
    return Ratio(median(ratios), min(ratios), max(ratios))


if __name__ == "__main__":
    main()
