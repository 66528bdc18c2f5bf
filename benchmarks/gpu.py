"""What does a GPU give? The engines beside compiled PyTorch, the served path, and heads fitted there.

    python -m benchmarks.gpu --json gpu.json

One command for a machine with a GPU and the extras `gpu` and `train`; `--device cpu` tries it all without one. Networks have the
shipped backbone's architecture. Those of PyTorch have random weights, which cost the same. Times are absolute.
"""

from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import onnxruntime
import torch

from benchmarks.head import DIM, OPTIONS, episode
from benchmarks.server_process import ServerProcess
from benchmarks.serving.load import LoadGenerator, post_form, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, creation, paper_bundle, sample_images, support_set
from benchmarks.shared.turns import Rates, race, repeat
from models.backbones.build import PixelBackbone, build_backbone
from models.bundle import ONNX, Bundle
from models.engine import EngineKind, open_engine
from models.heads.fitting import fit
from models.images.preprocess import Pixels
from training.devices import describe, pick_device

_BATCHES = (1, 8, 32, 64, 128, 256)
_TASKS = 1000
_REQUESTS = 200

Run = Callable[[Pixels], Any]


def main() -> None:
    parser = benchmark_parser("gpu", __doc__, seconds=1.0)
    parser.add_argument("--device", default="auto", help="cuda, cpu, or auto: cuda where it is (default %(default)s)")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    bundle = paper_bundle()
    print(f"{bundle.id}, {describe(device, 1)}, PyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}")
    figures = {
        "images_per_second": _throughput(bundle, device, arguments.seconds),
        "milliseconds": _latency(device),
        "fits_per_second": _fits(device, arguments.seconds),
    }
    write_json(arguments.json, figures)


def _throughput(bundle: Bundle, device: torch.device, seconds: float) -> dict[int, dict[str, float]]:
    """Returns images per second by batch and way, from pixels in the host's memory to embeddings there."""
    spec = bundle.manifest.input
    pixels = np.random.default_rng(0).integers(0, 256, (max(_BATCHES), spec.height, spec.width, 3), dtype=np.uint8)
    runs = _runs(bundle, device, pixels)
    print("\nimages per second\n" + f"{'batch':>6}" + "".join(f"{name:>26}" for name in runs))
    found = {}
    for size in _BATCHES:
        rates = race({name: repeat(partial(run, pixels[:size])) for name, run in runs.items()}, seconds=seconds)
        found[size] = {name: size * rates.median(name) for name in runs}
        print(f"{size:>6}" + "".join(f"{rate:>26,.0f}" for rate in found[size].values()), flush=True)
    return found


def _runs(bundle: Bundle, device: torch.device, pixels: Pixels) -> dict[str, Run]:
    network = PixelBackbone(build_backbone(bundle.manifest.architecture, bundle.manifest.input.height)).eval().to(device)

    def of(module: Any) -> Run:
        @torch.inference_mode()
        def run(batch: Pixels) -> Any:
            return module(torch.from_numpy(batch).to(device)).cpu()

        return run

    example = torch.from_numpy(pixels[:2]).to(device)
    with torch.inference_mode():
        traced = torch.jit.trace(network, example)  # type: ignore[no-untyped-call]
    runs: dict[str, Run] = {"torch.compile": of(torch.compile(network, dynamic=False)), "TorchScript": of(traced)}
    providers = onnxruntime.get_available_providers()
    wanted = ("CUDAExecutionProvider", "TensorrtExecutionProvider") if device.type == "cuda" else ("CPUExecutionProvider",)
    for provider in wanted:
        if provider in providers:
            runs[provider] = _session(bundle, provider)
    kind: EngineKind = "onnx-cuda" if device.type == "cuda" else "onnx"
    engine = open_engine(bundle, kind)
    size = engine.max_batch
    runs["engine"] = lambda batch: [engine.embed(batch[start : start + size]) for start in range(0, len(batch), size)]
    return runs


def _session(bundle: Bundle, provider: str) -> Run:
    session = onnxruntime.InferenceSession(bundle.read(ONNX), providers=[provider])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})


def _latency(device: torch.device) -> dict[str, float]:
    """Milliseconds from request to reply, medians; and images per second of the served path."""
    images, support = sample_images(), support_set()
    kind = "onnx-cuda" if device.type == "cuda" else "onnx"
    with (
        TemporaryDirectory() as folder,
        ServerProcess(Path(folder) / "data", "--engine", kind, "--queue-seconds", "60") as server,
        LoadGenerator(server.url) as load,
    ):
        with httpx.Client(base_url=server.url, timeout=60) as api:
            path = f"{create_task(api, support)}/predict"
        creating = [post_form("/v1/tasks", **creation(support))]
        predicting = post_images(path, images)
        batches = [post_form(path, [("images", image) for image in islice(cycle(images), 64)])]
        load.closed(predicting, 1, _REQUESTS)
        create = load.closed(creating, 1, _REQUESTS)
        predict = load.closed(predicting, 1, _REQUESTS)
        served = median(64 * turn.count(200) / turn.seconds for turn in (load.closed(batches, 8, 64) for _ in range(3)))
    found = {"create, 5-way 5-shot": 1e3 * create.percentile(50, 201), "predict, one image": 1e3 * predict.percentile(50)}
    for name, milliseconds in found.items():
        print(f"{name}: {milliseconds:.2f} ms at p50")
    print(f"served, 64 images a request, 8 connections: {served:,.0f} images per second")
    return {**found, "served images per second": served}


def _fits(device: torch.device, seconds: float) -> dict[str, float]:
    """5-way 5-shot heads per second: one at a time and a thousand at once, on the CPU and on the device."""
    drawn = [episode(5, 5, seed) for seed in range(_TASKS)]
    x, y = np.stack([features for features, _ in drawn]), np.stack([labels for _, labels in drawn])
    there = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
    places: dict[str, tuple[Any, Any]] = {"CPU": (x, y), "GPU" if device.type == "cuda" else "CPU, PyTorch": there}
    contestants = {}
    for place, (features, labels) in places.items():
        contestants[f"{place}, one at a time"] = repeat(partial(fit, features[0], labels[0], 5, OPTIONS))
        contestants[f"{place}, {_TASKS:,} at once"] = repeat(partial(fit, features, labels, 5, OPTIONS))
    rates: Rates = race(contestants, seconds=seconds)
    found = {name: rates.median(name) * (_TASKS if name.endswith("at once") else 1) for name in contestants}
    for name, rate in found.items():
        print(f"fits, {DIM} features, {name}: {rate:,.0f} per second")
    return found


if __name__ == "__main__":
    main()
