"""Does the time of an answer tell a tenant what another one has? Foreign ids that exist against ids that never were.

    python -m benchmarks.tenant_timing --json tenant_timing.json

Each route that takes an id is asked in random order about a thing of another tenant, about one that never was, and about a
second one that never was. The difference between the last two is noise. In the same way, wrong secrets are tried with the id of a
key that there is, and with ids that no key has.
"""

import http.client
import random
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
from scipy.stats import mannwhitneyu

from benchmarks.server_process import ServerProcess, first_key
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, creation, paper_bundle, sample_images, support_set

_IMAGES = sample_images()[:2]
_RESAMPLES = 1000
_SURE = 0.01  # over all routes together
_WARM = 20
_PARTS = {"task", "example", "capture", "refresh", "key"}
_BODIES: dict[str, dict[str, Any]] = {
    "PATCH /v1/tasks/{task}": {"json": {"name": "x"}},
    "POST /v1/tasks/{task}/examples": creation(support_set(1)),
    "PATCH /v1/tasks/{task}/examples/{example}": {"json": {"label": "x"}},
    "POST /v1/tasks/{task}/predict": {"files": [("images", image) for image in _IMAGES]},
    "POST /v1/tasks/{task}/captures/resolve": {"json": {"decisions": [{"captures": ["{capture}"], "label": "x"}]}},
    "POST /v1/tasks/{task}/corrections": {"json": {"prediction": "{capture}", "label": "x"}},
    "POST /v1/predict": {"files": [("images", image) for image in _IMAGES], "params": {"tasks": "{task}"}},
    "POST /v1/refreshes": {"json": {"to": paper_bundle().id, "tasks": ["{task}"]}},
    "POST /v1/keys": {"json": {"scope": "predict", "task": "{task}"}},
}


@dataclass(frozen=True)
class Asked:
    """A request that is ready to be sent."""

    method: str
    target: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Difference:
    """Microseconds of the medians, and the difference of what exists to what never was.

    Attributes:
        low, high: its 95 % bootstrap interval.
        p: of Mann and Whitney's test.
        noise: the same difference between two that never were, and `noise_p` its p.
    """

    what: str
    existing: float
    never: float
    difference: float
    low: float
    high: float
    p: float
    noise: float
    noise_p: float


def main() -> None:
    parser = benchmark_parser("tenant_timing", __doc__, rounds=2000)
    arguments = parser.parse_args()
    rng = random.Random(1)  # noqa: S311 -- nothing secret
    found = []
    with TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        keys = {tenant: first_key(data, tenant) for tenant in ("ours", "theirs")}
        with ServerProcess(data, "--log-level", "warning") as server:
            ours, theirs = (
                httpx.Client(base_url=server.url, timeout=60, headers={"Authorization": f"Bearer {key}"}) for key in keys.values()
            )
            with ours, theirs:
                own, foreign = _furnished(ours), _furnished(theirs)
                cases = {**_routes(ours, own, foreign), "another secret": _secrets(ours, keys["theirs"])}
            connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
            for what, requests in cases.items():
                found.append(_compare(what, _times(connection, requests, arguments.rounds, rng)))
                _tell(found[-1], len(cases), first=len(found) == 1)
            connection.close()
    telling = [each.what for each in found if each.p < _SURE / len(found)]
    print(f"{len(telling)} of {len(found)} differ at p < {_SURE:g} over all: {', '.join(telling) or 'none'}")
    print(f"of pairs that never were: {sum(each.noise_p < _SURE / len(found) for each in found)}")
    write_json(arguments.json, [asdict(each) for each in found])


def _furnished(api: httpx.Client) -> dict[str, str]:
    """Gives a tenant a task, a capture, a refresh that has ended and a key, and returns the ids."""
    path = create_task(api, support_set())
    remembered = api.post(f"{path}/predict?remember=true", files=[("images", _IMAGES[0])]).raise_for_status().json()
    refresh = api.post("/v1/refreshes", json={"to": paper_bundle().id}).raise_for_status().json()["id"]
    while api.get(f"/v1/refreshes/{refresh}").raise_for_status().json()["state"] == "running":
        time.sleep(0.05)
    return {
        "task": path.rpartition("/")[2],
        "example": api.get(f"{path}/examples").raise_for_status().json()["examples"][0]["id"],
        "capture": remembered["predictions"][0]["prediction"],
        "refresh": refresh,
        "key": api.post("/v1/keys", json={"scope": "predict"}).raise_for_status().json()["id"],
    }


def _routes(api: httpx.Client, own: Mapping[str, str], foreign: Mapping[str, str]) -> dict[str, list[Asked]]:
    """Returns for each route that takes ids the requests about what exists, and about two that never were."""
    cases: dict[str, list[Asked]] = {}
    nevers = [{part: _never(id_, digit) for part, id_ in foreign.items()} for digit in "01"]
    for path, operations in api.get("/openapi.json").raise_for_status().json()["paths"].items():
        for method in operations:
            name = f"{method.upper()} {path}"
            body = _BODIES.get(name, {})
            parts = set(re.findall(r"\{(\w+)\}", f"{path}{body.get('params')}{body.get('json')}")) & _PARTS
            for kept in [set(), {"task"}][: len(parts)]:
                mine = {part: own[part] for part in kept}
                what = f"{name}, own task" if kept else name
                cases[what] = [_asked(api, method.upper(), path, body, {**ids, **mine}) for ids in (foreign, *nevers)]
    return cases


def _never(id_: str, digit: str) -> str:
    """Returns an id that nothing has, which lies beside an id in every index."""
    return id_[:-2] + digit + ("0" if id_[-1] != "0" else "1")


def _asked(api: httpx.Client, method: str, path: str, body: Mapping[str, Any], ids: Mapping[str, str]) -> Asked:
    request = api.build_request(method, path.format(**ids), **{name: _filled(part, ids) for name, part in body.items()})
    return Asked(method, request.url.raw_path.decode(), request.read(), dict(request.headers))


def _filled(part: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(part, str):
        return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], part)
    if isinstance(part, dict):
        return {name: _filled(value, ids) for name, value in part.items()}
    return [_filled(each, ids) for each in part] if isinstance(part, list) else part


def _secrets(api: httpx.Client, key: str) -> list[Asked]:
    """Returns the requests with wrong secrets under the id of a key, and under two that no key has."""
    id_ = key.split("_")[1]
    whole = [f"hs_{each}_{'0' * 64}" for each in (id_, _never(id_, "0"), _never(id_, "1"))]
    tokens = [f"{each}_{zlib.crc32(each.encode()):08x}" for each in whole]
    sent = [api.build_request("GET", "/v1/key", headers={"Authorization": f"Bearer {token}"}) for token in tokens]
    return [Asked("GET", "/v1/key", b"", dict(request.headers)) for request in sent]


def _times(
    connection: http.client.HTTPConnection, requests: Sequence[Asked], rounds: int, rng: random.Random
) -> list[list[float]]:
    """Returns the microseconds of each request, asked so many times in random order. Raises RuntimeError if answers differ."""
    taken: list[list[float]] = [[] for _ in requests]
    statuses = set()
    for number in range(-_WARM, rounds):
        for at in rng.sample(range(len(requests)), len(requests)):
            asked = requests[at]
            began = time.perf_counter()
            connection.request(asked.method, asked.target, asked.body, asked.headers)
            answer = connection.getresponse()
            answer.read()
            if number >= 0:
                taken[at].append(1e6 * (time.perf_counter() - began))
            statuses.add(answer.status)
    if statuses not in ({404}, {401}):
        raise RuntimeError(f"{requests[0].method} {requests[0].target} was answered {statuses}")
    return taken


def _compare(what: str, taken: Sequence[Sequence[float]]) -> Difference:
    existing, never, other = map(np.asarray, taken)
    picks = np.random.default_rng(1).integers(0, len(never), (2, _RESAMPLES, len(never)))
    spread = np.median(existing[picks[0]], axis=1) - np.median(never[picks[1]], axis=1)
    low, high = np.percentile(spread, [2.5, 97.5])
    medians = [float(np.median(each)) for each in (existing, never, other)]
    return Difference(
        what,
        medians[0],
        medians[1],
        medians[0] - medians[1],
        float(low),
        float(high),
        float(mannwhitneyu(existing, never).pvalue),
        medians[2] - medians[1],
        float(mannwhitneyu(other, never).pvalue),
    )


def _tell(each: Difference, cases: int, first: bool) -> None:
    if first:
        print(f"{'':<62}{'exists, µs':>11}{'never':>7}{'difference, 95 %':>27}{'p':>9}{'noise':>8}{'p':>9}")
    mark = " *" if each.p < _SURE / cases else ""
    spread = f"{each.difference:+.1f} ({each.low:+.1f}, {each.high:+.1f})"
    print(
        f"{each.what:<62}{each.existing:>11.0f}{each.never:>7.0f}{spread:>27}{each.p:>9.2g}{each.noise:>+8.1f}{each.noise_p:>9.2g}"
        f"{mark}",
        flush=True,
    )


if __name__ == "__main__":
    main()
