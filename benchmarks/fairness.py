"""Does a tenant notice another's flood? Latencies of a modest tenant alone, beside a flood, and in one queue for all.

    python -m benchmarks.fairness --json fairness.json

A server with keys runs as the README starts it. Two modest tenants send a photograph at a time, at a pace. A third floods it,
with each kind of load in turn. The same clients, all with keys of one tenant, share what one tenant has. Turns of the three are
interleaved. The flood's clients yield the cores to the server, since they would run elsewhere.

On a machine with other work to do, everybody waits for that too. So the processor time that the server used while a request was
under way is told as well. Divided by the cores that is, beside a flood, how long the request would have taken on a machine of the
server's own. Alone it is less, since the cores are idle most of the time.
"""

import argparse
import io
import resource
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from PIL import Image, ImageOps

from benchmarks.server_process import ServerProcess
from benchmarks.serving.crowd import Crowd
from benchmarks.serving.load import Reply, post, post_form
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import SAMPLES, creation
from models.bundle import DEFAULT_BUNDLE
from models.processor import available_cores
from server.store.key_records import new_key
from server.store.store import Store, sqlite_url

_TENANTS = ("modest", "second", "hostile", "together")
_OK = {200, 201}
_NICENESS = 9  # of the flood's clients, more than that of the server
_LARGE = (4000, 3000)
_SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Load:
    """A flood of one kind: requests of so many images each, over so many connections."""

    requests: Mapping[str, Sequence[bytes]]
    connections: int
    images: int


@dataclass(frozen=True)
class Turn:
    """Clients for some seconds.

    Attributes:
        p50, p99: milliseconds of the modest tenant's answers.
        work50, work99: milliseconds of each core that the server used meanwhile.
        failed: its requests without an answer.
        flood: images a second of the flood that were answered.
        images: the same of all clients.
        refused: the flood's requests a second that were refused or cut.
    """

    p50: float
    p99: float
    work50: float
    work99: float
    failed: int
    flood: float
    images: float
    refused: float


def main() -> None:
    parser = benchmark_parser("fairness", __doc__, rounds=7, seconds=8.0)
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE, help="of all tasks (default %(default)s)")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second of a modest tenant (default %(default)s)")
    parser.add_argument("--connections", type=int, default=1000, help="of the flood that has most (default %(default)s)")
    parser.add_argument("--floods", nargs="+", help="the kinds of load (default: all)")
    parser.add_argument("server_flags", nargs="*", metavar="-- FLAG", help="further flags of the server")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # A connection is a file, here and in the server.
    with TemporaryDirectory() as folder:
        keys = _keys(Path(folder) / "data")
        with ServerProcess(Path(folder) / "data", *arguments.server_flags, bundle=arguments.bundle) as server:
            figures = _measure(server, keys, arguments)
    write_json(arguments.json, figures)


def _keys(data_dir: Path) -> dict[str, str]:
    """A key for each tenant."""
    keys = {}
    data_dir.mkdir()
    with closing(Store.open(sqlite_url(data_dir))) as store:
        for tenant in _TENANTS:
            record, keys[tenant] = new_key(tenant, "write", None, None)
            store.keys.add(record)
    return keys


def _measure(server: ServerProcess, keys: Mapping[str, str], arguments: argparse.Namespace) -> dict[str, Any]:
    tasks = {tenant: _task(server.url, key) for tenant, key in keys.items()}
    photographs = [path.read_bytes() for path in sorted((SAMPLES / "query").glob("*/*.jpg"))]
    asking = {
        tenant: [post(f"{tasks[tenant]}/predict", image, "image/jpeg", keys[tenant]) for image in photographs] for tenant in keys
    }
    floods = _floods(keys, tasks, photographs, asking, arguments.connections)
    turns: dict[str, dict[str, list[Turn]]] = {name: {} for name in arguments.floods or floods}
    port = urlsplit(server.url).port
    assert port
    with Crowd(port) as modest, Crowd(port) as second, Crowd(port, _NICENESS) as hostile:

        def turn(names: Sequence[str], load: Load | None, flooding: str, seconds: float = arguments.seconds) -> Turn:
            paced = [
                crowd.keep_pace(asking[name], arguments.rate, seconds, server.process.pid)
                for crowd, name in zip((modest, second), names, strict=False)
            ]
            flood = hostile.flood(load.requests[flooding], load.connections, seconds) if load else None
            found = _turn([each.result() for each in paced], flood.result() if flood else [], load, seconds)
            time.sleep(_SETTLE_SECONDS)
            return found

        turn(["modest", "second", "together"], None, "", 2.0)  # warms up
        for _ in range(arguments.rounds):
            for name, by_kind in turns.items():
                load = floods[name]
                for kind, found in (
                    ("alone", turn(["modest"], None, "")),
                    ("beside", turn(["modest", "second"], load, "hostile")),
                    ("one tenant", turn(["together", "together"], load, "together")),
                ):
                    by_kind.setdefault(kind, []).append(found)
    return {name: _row(name, kinds) for name, kinds in turns.items()}


def _task(url: str, key: str) -> str:
    support = [(folder.name, path.read_bytes()) for folder in (SAMPLES / "support").iterdir() for path in folder.glob("*.jpg")]
    with httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {key}"}) as api:
        return str(api.post("/v1/tasks", **creation(support)).raise_for_status().headers["location"])


def _floods(
    keys: Mapping[str, str],
    tasks: Mapping[str, str],
    photographs: Sequence[bytes],
    asking: Mapping[str, Sequence[bytes]],
    connections: int,
) -> dict[str, Load]:
    """The kinds of load, by name."""
    small = [("images", _scaled(image, (200, 150))) for image in photographs]
    many = [small[number % len(small)] for number in range(64)]
    large = [_scaled(image, _LARGE) for image in photographs[:4]]
    support = [(path.parent.name, path.read_bytes()) for path in (SAMPLES / "support").glob("*/*.jpg")]

    def of_each(make: Any) -> dict[str, Sequence[bytes]]:
        return {tenant: make(f"{tasks[tenant]}/predict", keys[tenant]) for tenant in ("hostile", "together")}

    return {
        "64 images": Load(of_each(lambda path, key: [post_form(path, many, key=key)]), 64, 64),
        "12 megapixels": Load(of_each(lambda path, key: [post(path, image, "image/jpeg", key) for image in large]), 64, 1),
        "creates": Load(of_each(lambda _path, key: [post_form("/v1/tasks", **creation(support), key=key)]), 64, len(support)),
        "connections": Load(asking, connections, 1),
    }


def _scaled(photograph: bytes, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    with Image.open(io.BytesIO(photograph)) as image:
        ImageOps.fit(image, size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def _turn(paced: Sequence[Sequence[Reply]], flood: Sequence[Reply], load: Load | None, seconds: float) -> Turn:
    answered = [reply for reply in paced[0] if reply.status in _OK]
    waits = [1e3 * reply.seconds for reply in answered]
    works = [1e3 * reply.work / available_cores() for reply in answered]
    done = sum(reply.status in _OK for reply in flood) * (load.images if load else 0)
    all_paced = sum(reply.status in _OK for replies in paced for reply in replies)
    refused = sum(reply.status not in _OK for reply in flood)
    failed = len(paced[0]) - len(answered)
    return Turn(
        *_percentiles(waits), *_percentiles(works), failed, done / seconds, (done + all_paced) / seconds, refused / seconds
    )


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    p50, p99 = np.percentile(values, (50, 99)) if values else (np.nan, np.nan)
    return float(p50), float(p99)


def _row(name: str, turns: Mapping[str, Sequence[Turn]]) -> dict[str, Any]:
    """Prints what a flood did: medians of the rounds, and ratios round by round."""
    ratios = {
        "p99 beside / alone": [b.p99 / a.p99 for a, b in zip(turns["alone"], turns["beside"], strict=True)],
        "p50 beside / alone": [b.p50 / a.p50 for a, b in zip(turns["alone"], turns["beside"], strict=True)],
        "images/s beside / one tenant": [
            b.images / o.images if o.images else np.nan for b, o in zip(turns["beside"], turns["one tenant"], strict=True)
        ],
    }
    print(f"\n{name}\n{'':<12}{'p50, ms':>9}{'p99, ms':>9}{'cores, ms':>16}{'failed':>8}", end="")
    print(f"{'flood img/s':>13}{'all img/s':>11}{'refused/s':>11}")
    for kind, found in turns.items():
        p50, p99, work50, work99, flood, images, refused = (
            median(getattr(turn, what) for turn in found)
            for what in ("p50", "p99", "work50", "work99", "flood", "images", "refused")
        )
        work = f"{work50:.1f}, {work99:.1f}"
        failed = sum(turn.failed for turn in found)
        print(f"{kind:<12}{p50:>9.1f}{p99:>9.1f}{work:>16}{failed:>8}{flood:>13.0f}{images:>11.0f}{refused:>11.0f}")
    for what, values in ratios.items():
        print(f"{what}: {median(values):.2f} ({min(values):.2f}, {max(values):.2f})", flush=True)
    return {"ratios": ratios, "turns": {kind: [asdict(turn) for turn in found] for kind, found in turns.items()}}


if __name__ == "__main__":
    main()
