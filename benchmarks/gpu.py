"""What does a GPU give? The engines beside compiled PyTorch, the served path, and heads fitted there.

    python -m benchmarks.gpu --json gpu.json

One command for a machine with a GPU and the extras `gpu` and `train`; `--device cpu` tries it all without one. Networks have the
shipped backbone's architecture. Those of PyTorch have random weights, which cost the same. Times are absolute.
"""

import warnings
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import httpx
import numpy as np
import onnxruntime
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.head import DIM, OPTIONS, episode
from benchmarks.server_process import ServerProcess
from benchmarks.serving.load import LoadGenerator, post_form, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.float16 import with_float16
from benchmarks.shared.setting import create_task, creation, paper_bundle, sample_images, support_set
from benchmarks.shared.turns import Rates, race, repeat
from models.backbones.build import PixelBackbone, build_backbone
from models.bundle import ONNX, Bundle
from models.engine import EngineError, EngineKind, embed_all, open_engine
from models.heads.fitting import fit
from models.heads.solvers.dense_newton import FEW_STEPS, attempt
from models.images.preprocess import Pixels
from models.tensors import finish
from training.devices import describe, pick_device

_BATCHES = (1, 8, 32, 64, 128, 256)
_TASKS = 1000
_REQUESTS = 200
_LARGE, _LARGE_ON_CPU = (1000, 20), (20, 20)  # ways and shots

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
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)  # as in `training.export.graphs.to_torchscript`
        traced = torch.jit.trace(network, example)  # type: ignore[no-untyped-call]
    runs: dict[str, Run] = {"torch.compile": of(torch.compile(network, dynamic=False)), "TorchScript": of(traced)}
    providers = onnxruntime.get_available_providers()
    wanted = ("CUDAExecutionProvider", "TensorrtExecutionProvider") if device.type == "cuda" else ("CPUExecutionProvider",)
    for provider in wanted:
        if provider in providers:
            runs[provider] = _session(bundle, provider)
    return runs | _engines(bundle, device)


def _engines(bundle: Bundle, device: torch.device) -> dict[str, Run]:
    kinds: dict[str, EngineKind] = {"engine": "onnx", "engine, float16": "onnx-fp16"}
    if device.type == "cuda":
        kinds = {"engine": "onnx-cuda", "engine, float16": "onnx-fp16-cuda", "TensorRT, float16": "onnx-fp16-tensorrt"}
    runs: dict[str, Run] = {}
    with TemporaryDirectory() as folder:
        halved = with_float16(bundle, Path(folder))
        for name, kind in kinds.items():
            try:
                runs[name] = partial(embed_all, open_engine(halved, kind))
            except EngineError as error:
                print(f"{kind} does not run here: {error}")
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
    """Returns logistic heads per second, in float64 on the CPU and on the device, and what the device is started for.

    5-way 5-shot tasks are fitted one at a time and a thousand at once, and a task of a thousand classes (few on a CPU) alone.
    `without a graph` is the same sequence of operations as one at a time, started one by one.
    """
    drawn = [episode(5, 5, seed) for seed in range(_TASKS)]
    x, y = np.stack([features for features, _ in drawn]), np.stack([labels for _, labels in drawn])
    gpu = "GPU" if device.type == "cuda" else "CPU, PyTorch"
    there = torch.from_numpy(x).to(device)

    def fitted(features: Any, labels: Any, ways: int) -> Callable[[], None]:
        def work() -> None:
            fit(features, labels, ways, OPTIONS)
            finish(device)

        return work

    works: dict[str, Callable[[], None]] = {}
    places: dict[str, Any] = {"CPU": x, gpu: there}
    for place, features in places.items():
        works[f"{place}, one at a time"] = fitted(features[0], y[0], 5)
        works[f"{place}, {_TASKS:,} at once"] = fitted(features, y, 5)
    works[f"{gpu}, without a graph"] = _without_graph(there[:1], y[:1])
    rates: Rates = race({name: repeat(work) for name, work in works.items()}, seconds=seconds)
    found = {name: rates.median(name) * (_TASKS if name.endswith("at once") else 1) for name in works}
    ways, shots = _LARGE if device.type == "cuda" else _LARGE_ON_CPU
    large, labels = episode(ways, shots, 0)
    here, on_gpu = fitted(large, labels, ways), fitted(torch.from_numpy(large).to(device), labels, ways)
    found[f"CPU, {ways:,}-way {shots}-shot"] = 1.0 / _seconds(here)
    on_gpu()
    found[f"{gpu}, {ways:,}-way {shots}-shot"] = 1.0 / median(_seconds(on_gpu) for _ in range(3))
    for name, rate in found.items():
        print(f"fits, {DIM} features, {name}: {rate:,.3g} per second")
    for name in (f"{gpu}, one at a time", f"{gpu}, without a graph"):
        started = found[f"{name}, started"] = float(_started(works[name], device))
        print(f"fits, {name}: the host starts the GPU {started:,.0f} times")
    return found


def _without_graph(features: torch.Tensor, labels: Any) -> Callable[[], None]:
    """Returns the fit of one task by its Newton steps alone."""
    x = features.double()
    y = torch.nn.functional.one_hot(torch.from_numpy(labels).to(x.device)).double()
    C = torch.full((1, 1, 1), OPTIONS.C, dtype=x.dtype, device=x.device)

    def work() -> None:
        bool(attempt(x, y, C, FEW_STEPS).reached.all())

    return work


def _seconds(work: Callable[[], None]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def _started(work: Callable[[], None], device: torch.device) -> int:
    """Returns how many kernels, graphs and copies the host starts on a GPU; zero without one."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities) as profiled:
        work()
    names = ("cudaLaunch", "cudaGraphLaunch", "cudaMemcpy", "cudaMemset", "cuLaunch")
    return sum(event.name.startswith(names) for event in profiled.events() or ())


if __name__ == "__main__":
    main()
