"""What would people use instead? Other servers around the same backbone, decoder and head, beside ours, in turns.

    python -m benchmarks.peers --environments peer-environments --json peers.json

Each peer is set up as its own documentation recommends for throughput, in a virtual environment that is made once. One server
runs at a time. Single images at 64 connections: raw bodies, or multipart where a peer takes nothing else.
"""

import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from benchmarks.server_process import ROOT, ServerProcess, free_port
from benchmarks.serving.load import LoadGenerator, Outcome, post_form, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, paper_bundle, sample_images, support_set
from models.engine import EngineKind, open_engine
from models.processor import available_cores

_SHARED = ("numpy", "onnxruntime", "pillow", "pillow-heif", "pydantic", "safetensors", "array-api-compat")
_START_SECONDS = 120.0
_CONNECTIONS = 64
_WARM_IMAGES = 500
_OURS = "Headstart"


@dataclass(frozen=True)
class Peer:
    """Another server.

    Attributes:
        packages: the packages of its environment, beside those that the classifier needs.
        command: its arguments to Python; `{port}` and `{cores}` are filled in.
        multipart: whether it takes images as files of a form only.
    """

    packages: tuple[str, ...]
    command: tuple[str, ...]
    multipart: bool = False


PEERS = {
    "FastAPI, plain handler": Peer(
        ("fastapi", "uvicorn[standard]"),
        (
            "-m",
            "uvicorn",
            "benchmarks.peers.fastapi_app:app",
            "--port",
            "{port}",
            "--workers",
            "{cores}",
            "--log-level",
            "warning",
        ),
    ),
    "LitServe": Peer(("litserve",), ("-m", "benchmarks.peers.litserve_app", "{port}")),
    "BentoML": Peer(
        ("bentoml",), ("-m", "bentoml", "serve", "benchmarks.peers.bentoml_app:Service", "--port", "{port}"), multipart=True
    ),
    "Ray Serve": Peer(("ray[serve]",), ("-m", "benchmarks.peers.ray_app", "{port}")),
}


def main() -> None:
    parser = benchmark_parser("peers", __doc__, rounds=3, seconds=5.0)
    parser.add_argument("--environments", type=Path, required=True, metavar="DIR", help="made where it is not there yet")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="default: all")
    arguments = parser.parse_args()

    pythons = {name: _environment(arguments.environments, name) for name in arguments.peers}
    outcomes: dict[str, list[Outcome]] = {name: [] for name in (_OURS, *pythons)}
    images = sample_images()
    kind = open_engine(paper_bundle()).kind
    print(f"every server runs {kind}", flush=True)
    for _ in range(arguments.rounds):
        with _headstart(kind) as (url, path):
            outcomes[_OURS].append(_turn(url, post_images(path, images), arguments.seconds))
        for name, python in pythons.items():
            forms = [post_form("/predict", _file(image)) for image in images]
            requests = forms if PEERS[name].multipart else post_images("/predict", images)
            with _peer(PEERS[name], python, kind) as url:
                outcomes[name].append(_turn(url, requests, arguments.seconds))

    print(f"{'':<26}{'images/s':>10}{'ours is':>9}{'(least, most)':>16}{'p50, ms':>9}{'p99, ms':>9}{'load, cores':>13}")
    rows = []
    for name, turns in outcomes.items():
        rates = [_rate(turn) for turn in turns]
        ratios = [_rate(ours) / rate for ours, rate in zip(outcomes[_OURS], rates, strict=True)]
        p50, p99 = (1e3 * median(turn.percentile(percent) for turn in turns) for percent in (50, 99))
        cores = median(turn.cores for turn in turns)
        spread = f"({min(ratios):.2f}, {max(ratios):.2f})"
        print(f"{name:<26}{median(rates):>10.0f}{median(ratios):>9.2f}{spread:>16}{p50:>9.1f}{p99:>9.1f}{cores:>13.2f}")
        rows.append({"server": name, "rates": rates, "p50": p50, "p99": p99, "cores": cores})
    write_json(arguments.json, rows)


def _environment(folder: Path, name: str) -> Path:
    """The Python of a peer's environment, made if missing."""
    home = folder / name.lower().replace(",", "").replace(" ", "-")
    python = home / "bin" / "python"
    done = home / "installed"
    if not done.exists():
        print(f"making the environment of {name}", flush=True)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *_SHARED, *PEERS[name].packages], check=True)  # noqa: S603
        done.touch()
    return python.absolute()


@contextmanager
def _headstart(kind: EngineKind) -> Iterator[tuple[str, str]]:
    with TemporaryDirectory() as folder, ServerProcess(Path(folder) / "data", "--engine", kind) as server:
        with httpx.Client(base_url=server.url, timeout=60) as api:
            path = create_task(api, support_set())
        yield server.url, f"{path}/predict"


@contextmanager
def _peer(peer: Peer, python: Path, kind: EngineKind) -> Iterator[str]:
    """A peer's server, ready; all of its processes end with the context."""
    port = free_port()
    command = [part.format(port=port, cores=available_cores()) for part in peer.command]
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("w+b") as log:
        process = subprocess.Popen(  # noqa: S603
            [python, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HEADSTART_PEER_ENGINE": kind},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(url, process, Path(folder) / "log")
            yield url
        finally:
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(15)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    image = sample_images()[0]
    while time.monotonic() < deadline and process.poll() is None:
        for sent in ({"content": image, "headers": {"Content-Type": "image/png"}}, {"files": _file(image)}):
            try:
                if httpx.post(f"{url}/predict", timeout=30, **sent).status_code == 200:
                    return
            except httpx.TransportError:
                pass
        time.sleep(0.5)
    sys.exit(f"a peer did not start:\n{log.read_text()[-2000:]}")


def _file(image: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("images", ("image.png", image, "image/png"))]


def _turn(url: str, requests: Sequence[bytes], seconds: float) -> Outcome:
    with LoadGenerator(url) as load:
        warm = load.closed(requests, _CONNECTIONS, _WARM_IMAGES)
        outcome = load.closed(requests, _CONNECTIONS, round(seconds * _rate(warm)))
    if outcome.count(200) != len(outcome.replies):
        sys.exit(f"{len(outcome.replies) - outcome.count(200)} requests failed")
    return outcome


def _rate(outcome: Outcome) -> float:
    return outcome.count(200) / outcome.seconds


if __name__ == "__main__":
    main()
