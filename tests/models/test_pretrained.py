"""torchvision's and timm's networks as embedding networks, and as where training begins."""

import socket
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.backbones import build_backbone
from models.backbones.pretrained import load_pretrained
from models.backbones.published import UnreachableError, check_reachable
from models.backbones.weights import PretrainedError
from tests.helpers.made_elsewhere import Small
from tests.helpers.training_runs import BASE, recipe, started
from training.run.checkpoint import CheckpointError
from training.run.initial import initial_network

# Imported thus, since one has no types and the other too many.
torchvision: Any = import_module("torchvision")
timm: Any = import_module("timm")

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


@pytest.mark.parametrize(
    ("name", "classifier", "width"),
    [
        ("resnet18", "fc", 512),
        ("mobilenet_v3_small", "classifier.3", 1024),
        ("convnext_tiny", "classifier.2", 768),
        ("swin_t", "head", 768),
        ("vit_b_32", "heads.head", 768),
    ],
)
def test_torchvisions_networks_lose_their_classifier_and_nothing_else(name: str, classifier: str, width: int) -> None:
    torch.manual_seed(0)
    sized = {"image_size": 64} if name.startswith("vit") else {}
    whole = torchvision.models.get_model(name, weights=None, **sized).eval()
    torch.manual_seed(0)
    adapted = load_pretrained(f"torchvision:{name}", "none", 64).network
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        embeddings = adapted(images)
        assert embeddings.shape == (2, width)
        torch.testing.assert_close(whole.get_submodule(classifier)(embeddings), whole(images))
    assert adapted.embedding_dim == width


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "mobilenetv3_small_050", "convnext_atto"])
def test_timms_networks_become_embedding_networks(name: str) -> None:
    pretrained = load_pretrained(f"timm:{name}", "none")
    config = timm.get_pretrained_cfg(name)
    assert (pretrained.mean, pretrained.std, pretrained.interpolation) == (config.mean, config.std, config.interpolation)
    assert pretrained.input_size == config.input_size[1]
    with torch.inference_mode():
        embeddings = pretrained.network(torch.rand(2, 3, pretrained.input_size, pretrained.input_size))
    assert embeddings.shape == (2, pretrained.network.embedding_dim)


def test_timm_loads_a_file_of_weights(tmp_path: Path) -> None:
    whole = timm.create_model("test_resnet", num_classes=7).eval()
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    pretrained = load_pretrained("timm:test_resnet", str(tmp_path / "weights.pth"), 64)
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(whole.get_classifier()(pretrained.network(images)), whole(images))


def published(monkeypatch: pytest.MonkeyPatch, state: dict[str, Tensor]) -> None:
    """Puts weights in the place of torchvision's download."""

    def load(*_: Any, **__: Any) -> dict[str, Tensor]:
        return state

    monkeypatch.setattr("models.backbones.published.check_reachable", lambda _: None)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)


@pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1"])
def test_published_weights_come_with_their_preprocessing(monkeypatch: pytest.MonkeyPatch, weights: str) -> None:
    whole = torchvision.models.resnet18().eval()
    published(monkeypatch, whole.state_dict())
    pretrained = load_pretrained("torchvision:resnet18", weights)
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(whole.fc(pretrained.network(images)), whole(images))
    transforms = torchvision.models.ResNet18_Weights[weights].transforms()
    assert [pretrained.input_size] == transforms.crop_size
    assert [list(pretrained.mean), list(pretrained.std)] == [transforms.mean, transforms.std]
    assert pretrained.interpolation == transforms.interpolation.value
    assert pretrained.weights == "ResNet18_Weights.IMAGENET1K_V1"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "torchvision:resnet18",
            r"fetch https://\S+resnet18\S+\.pth, and here put it into \S+checkpoints, or give .*--weights FILE",
        ),
        (
            "timm:resnet18",
            r"fetch https://huggingface\.co/timm/resnet18\S+/model\.safetensors, and here give it with --weights FILE",
        ),
    ],
)
@pytest.mark.parametrize("silent", [False, True])
def test_without_a_network_the_file_to_bring_is_named_within_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, message: str, silent: bool
) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        if silent:
            time.sleep(8)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    torchvision.models.list_models()
    started = time.monotonic()
    with pytest.raises(
        PretrainedError, match=("does not answer within" if silent else "Name or service not known") + ".*" + message
    ):
        load_pretrained(name, "DEFAULT")
    assert time.monotonic() - started < 6  # 3 on a machine that does nothing else


def test_whoever_answers_is_reachable_whatever_the_answer() -> None:
    class Redirecting(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(302 if self.path == "/moved" else 404)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Redirecting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for path in ("moved", "absent"):
            check_reachable(f"http://127.0.0.1:{server.server_port}/{path}")
        server.shutdown()
        thread.join()
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1: Connection refused"):
        check_reachable(f"http://127.0.0.1:{server.server_port}/")


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UnreachableError, match=r"within 0\.2 s"):
        check_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/", deadline=0.2)


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_come_from_a_file_whatever_its_classes(tmp_path: Path, wrapped: bool) -> None:
    whole = torchvision.models.resnet18(num_classes=3).eval()
    parallel = {f"module.{key}": value for key, value in whole.state_dict().items()}
    torch.save({"epoch": 3, "model": parallel} if wrapped else whole.state_dict(), tmp_path / "mine.pth")
    pretrained = load_pretrained("torchvision:resnet18", str(tmp_path / "mine.pth"))
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(whole.fc(pretrained.network(images)), whole(images))
    assert (pretrained.weights, pretrained.file) == ("mine.pth", tmp_path / "mine.pth")


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("torchvision:resnet19", "none", "no classification network 'resnet19'; near it: resnet1"),
        ("torchvision:squeezenet1_1", "none", "does not end in a linear classifier"),
        ("torchvision:googlenet", "none", "cannot be adapted"),
        ("torchvision:resnet18", "IMAGENET", "the names are DEFAULT, IMAGENET1K_V1, none"),
        ("torchvision:resnet18", None, "say which weights"),
        ("torchvision:resnet18", "text.pth", "not a state dict that PyTorch can load safely"),
        ("torchvision:resnet18", "list.pth", "holds a list"),
        ("torchvision:resnet18", "other.pth", "the weights of another network"),
        ("timm:resnet19", "none", "timm has no network 'resnet19'"),
        ("timm:test_resnet", "nowhere.pth", "no such file"),
        ("timm:test_resnet", "other.pth", "the weights of another network"),
    ],
)
def test_networks_and_weights_that_cannot_be_had_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, weights: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.pth").write_text("weights")
    torch.save([1], "list.pth")
    torch.save(Small().state_dict(), "other.pth")
    with pytest.raises(PretrainedError, match=message):
        load_pretrained(name, weights)


def test_training_can_begin_at_a_librarys_network() -> None:
    torch.manual_seed(0)
    initial = initial_network("torchvision:resnet18", "none")
    assert (initial.architecture.name, initial.input_size, initial.origin) == (
        "torchvision:resnet18",
        224,
        "torchvision:resnet18 (random)",
    )
    backbone = build_backbone(initial.architecture, initial.input_size)
    backbone.load_state_dict(initial.state)
    torch.manual_seed(0)
    whole = torchvision.models.resnet18().eval()
    images = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (initial.architecture.mean, initial.architecture.std))
    with torch.inference_mode():
        torch.testing.assert_close(whole.fc(backbone.eval()(images)), whole((images - mean) / std))


def test_training_can_begin_at_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        initial_network(str(tmp_path))
    unfinished = started(recipe(epochs=1), BASE)
    trained = unfinished.new_learner()
    run = replace(unfinished, learner=trained.state_dict())
    run.save(tmp_path)
    with pytest.raises(CheckpointError, match="not finished"):
        initial_network(str(tmp_path))
    run.history.append({"epoch": 1.0})
    run.save(tmp_path)
    initial = initial_network(str(tmp_path))
    assert (initial.architecture, initial.input_size, initial.origin) == (run.architecture, 16, f"run {tmp_path.name}")
    assert set(initial.classes) == set(BASE.classes)
    backbone = build_backbone(initial.architecture, 16)
    backbone.load_state_dict(initial.state)
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(backbone.eval()(images), trained.backbone.eval()(images))
    with pytest.raises(CheckpointError, match="leave out --weights"):
        initial_network(str(tmp_path), "none")


def test_training_begins_at_named_weights_only() -> None:
    with pytest.raises(PretrainedError, match="say which weights"):
        initial_network("torchvision:resnet18")
