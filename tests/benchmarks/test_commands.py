"""Every benchmark's command at toy size: it starts, goes one round, and prints its figures."""

import re
import runpy
import sys
from pathlib import Path

import pytest

import benchmarks
from models.bundle import SHIPPED
from tests.helpers.bundles import small_bundle
from tests.helpers.domains import write_domain

_ROUND = ("--rounds", "1", "--seconds", "0.1")
SERVING = {
    "background": _ROUND,
    "captures": (*_ROUND, "--captures", "80", "--decisions", "10"),
    "doors": (*_ROUND, "--connections", "2"),
    "engine": _ROUND,
    "evaluation_speed": ("--ways", "5", "--shots", "1"),
    "fairness": ("--rounds", "1", "--seconds", "0.5", "--connections", "8", "--bundle", "cifar-fs-resnet12@1"),
    "forgetting": ("--rounds", "1"),
    "gpu": ("--device", "cpu", "--seconds", "0.05"),
    "gpu_answers": ("--device", "cpu", "--ways", "2", "5"),
    "head": (*_ROUND, "--ways", "5", "--shots", "1"),
    "http": _ROUND,
    "many_tasks": _ROUND,
    "migrate": ("--megabytes", "5"),
    "open_close": ("--cycles", "4", "--engine", "onnx"),
    "open_inference": _ROUND,
    "overload": ("--rounds", "1", "--seconds", "0.5"),
    "quotas": ("--rounds", "2", "--tasks", "3"),
    "ray_serve": ("--rounds", "1", "--seconds", "0.1", "--requests", "8", "--replicas", "1", "--engines", "free"),
    "refresh_scale": ("--tasks", "20", "--replicas", "1", "2", "--rows", "5", "10"),
    "request_cost": ("--rounds", "1", "--requests", "4"),
    "score": ("clients/samples/query", "--images", "8", "--rounds", "1", "--bundle", "cifar-fs-resnet12@1"),
    "score_ray": ("clients/samples/query", "--images", "12", "--rounds", "1", "--bundle", "cifar-fs-resnet12@1"),
    "score_sizes": ("--files", "2500", "--members", "1500"),
    "scale": (*_ROUND, "--active", "5", "--stored", "0", "5"),
    "token_cost": ("--rounds", "1", "--tokens", "5"),
    "soak": ("--minutes", "0.1", "--warm-up", "0", "--every", "0.2", "--tasks", "6"),
    "tenant_timing": ("--rounds", "2"),
    "training_speed": (*_ROUND, "--recipes", "cifar-fs-resnet12-small", "--device", "cpu"),
    "verdicts": _ROUND,
    "weights": ("--rounds", "1", "--bundles", "photos@1", "--ways", "0", "7"),
    "workers": ("--workers", "2", "--shared", "--rounds", "1", "--requests", "8", "--images", "4"),
}
# Of a size that no flag makes smaller: slow tests.
LONG = {
    "captures",
    "doors",
    "fairness",
    "gpu",
    "gpu_answers",
    "http",
    "many_tasks",
    "open_close",
    "open_inference",
    "overload",
    "quotas",
    "ray_serve",
    "request_cost",
    "refresh_scale",
    "scale",
    "score_ray",
    "score_sizes",
    "soak",
    "tenant_timing",
    "training_speed",
    "verdicts",
    "weights",
    "workers",
}
ACCURACY = ("bursts", "forecast", "negatives", "prediction_sets", "quality", "review", "several_labels", "transductive")
ELSEWHERE = {
    "gpu_day": "tests/benchmarks/test_gpu_day.py",
    "domains": "tests/benchmarks/test_domains.py",
    "drill": "tests/benchmarks/test_drill.py",
    "replicas": "tests/benchmarks/test_drill.py",
    "input_sizes": "tests/models/test_input_sizes.py",
    "paper_table": "tests/benchmarks/test_paper_table.py",
    "laboratory": "tests/benchmarks/test_laboratory.py",
    "step_cost": "tests/benchmarks/test_step_cost.py",
}
NOT_RUN = {
    "calibration": "needs CIFAR-100: its tasks have up to 20 classes of 35 images",
    "decode": "needs OpenCV and libvips",
    "novelty": "needs all ten domains, by which it tunes its laws",
    "peers": "installs other servers",
    "refresh": "needs CIFAR-100, on which its two bundles differ",
    "served_accuracy": "needs CIFAR-100, and a server beside it",
    "several_tasks": "needs CIFAR-100 and Omniglot",
    "suspects": "needs cleanlab",
}
NO_COMMANDS = {"bundles", "core_ml", "postgres_server", "ray_process", "server_process"}


def test_every_command_is_run_somewhere_or_it_is_said_why_not() -> None:
    (folder,) = map(Path, benchmarks.__path__)
    commands = {path.stem for path in folder.glob("[a-z]*.py")} | {path.parent.name for path in folder.glob("*/__main__.py")}
    told = [*SERVING, "export_parity", *ACCURACY, *ELSEWHERE, *NOT_RUN, *NO_COMMANDS]
    assert sorted(told) == sorted(commands)


def table_of(name: str, *flags: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What `python -m benchmarks.NAME` prints with these flags."""
    monkeypatch.setattr(sys, "argv", [name, *flags])
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)  # as in a process that has just begun
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    return capsys.readouterr().out


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in SERVING])
def test_of_speed(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_ENGINE", "onnx")  # for the servers that it starts
    figures = tmp_path / "figures.json"
    flag = "--out" if name == "training_speed" else "--json"
    table = table_of(name, *SERVING[name], flag, str(figures), capsys=capsys, monkeypatch=monkeypatch)
    assert len(re.findall(r"\d", table)) > 3
    assert figures.read_text().startswith(("{", "["))


@pytest.mark.slow
def test_of_exports(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("--data", "clients/samples/query", "--ways", "3", "--shots", "2", "--images", "6")
    formats = ("tflite", "coreml", "onnx")
    table = table_of("export_parity", *flags, "--formats", *formats, capsys=capsys, monkeypatch=monkeypatch)
    assert re.findall(r"^(\w+) .* 100\.00% +100\.00%$", table, re.MULTILINE) == [*formats]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A domain of made-up classes, and a bundle."""
    folder = tmp_path_factory.mktemp("accuracy")
    write_domain(folder, "clothing", seed=1, classes=12, each=24)
    small_bundle(SHIPPED / "cifar-fs-resnet12" / "1", folder / "bundles", "small")
    return folder


@pytest.mark.parametrize("name", ACCURACY)
def test_of_accuracy(
    name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--data", str(data), "--bundle", "small@1", "--bundles-dir", str(data / "bundles"), "--engine", "onnx"]
    flags += ["--domains", "clothing", "--episodes", "2", "--json", str(tmp_path / "figures.json")]
    table = table_of(name, *flags, capsys=capsys, monkeypatch=monkeypatch)
    assert len(re.findall(r"^clothing .*\d", table, re.MULTILINE)) >= 2
    assert (tmp_path / "figures.json").read_text().startswith("{")
