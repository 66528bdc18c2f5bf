"""`headstart export --format web`: the page classifies in Chromium, offline, as the server does."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request, expect

from benchmarks.server_process import ROOT
from headstart import Client
from headstart.__main__ import main
from tests.helpers.samples import SAMPLES, read_samples
from tests.helpers.servers import ServerProcess

RUNTIME = ROOT / "clients" / "web" / "node_modules" / "onnxruntime-web" / "dist"
QUERIES = sorted(SAMPLES.glob("query/*/*.jpg"))[::8] + sorted(SAMPLES.glob("stranger/*.jpg"))[:2]
LABEL = "windmill </script> & <b>"

pytestmark = pytest.mark.skipif(not RUNTIME.exists(), reason="the packages of clients/web are not installed: make page")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a server in float32: products of eight bits add up differently in a browser."""
    with ServerProcess(tmp_path_factory.mktemp("server") / "data", bundle=None) as server, Client(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def task(client: Client) -> str:
    examples = [(LABEL if label == "windmill" else label, image) for label, image in read_samples("support")]
    return client.create_task("exported <i>", examples).id


@pytest.fixture(scope="module")
def folder(task: str, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "page"
    options = ["--format", "web", "--out", str(folder), "--onnxruntime-web", str(RUNTIME)]
    assert main(["--url", client.url, "export", task, *options]) == 0
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def open_exported(browser: Browser, folder: Path) -> Iterator[Callable[[], Page]]:
    """Opens the page from a plain file server. It asks no other host, and nothing stands on the console."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server, browser.new_context() as context:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        complaints: list[str] = []

        def asked(request: Request) -> None:
            if not request.url.startswith((address, "blob:", "data:")):
                complaints.append(request.url)

        def opened() -> Page:
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", asked)
            page.goto(address)
            return page

        yield opened
        server.shutdown()
        assert not complaints


def test_the_page_answers_as_the_server_does(open_exported: Callable[[], Page], client: Client, task: str) -> None:
    page = open_exported()
    expect(page.get_by_role("status")).to_contain_text(LABEL)
    page.locator("input").set_input_files(QUERIES)
    expect(page.get_by_role("listitem")).to_have_count(len(QUERIES))
    predictions = client.predict(task, QUERIES).checked()
    assert {each.known for each in predictions} == {True, False}
    for path, prediction in zip(QUERIES, predictions, strict=True):
        row = page.get_by_role("listitem").filter(has=page.get_by_role("img", name=path.name, exact=True))
        expect(row).to_contain_text(prediction.label)
        assert ("None of these" in row.inner_text()) is not prediction.known
        found = page.evaluate(
            """async (name) => {
                const files = [...document.querySelector("input").files];
                return { ...(await classify(files.find((file) => file.name === name))), labels: about.labels };
            }""",
            path.name,
        )
        assert dict(zip(found["labels"], found["probabilities"], strict=True)) == pytest.approx(prediction.scores, abs=1e-3)
        assert found["known"] is prediction.known


def test_what_is_no_picture_is_told(open_exported: Callable[[], Page], tmp_path: Path) -> None:
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    page = open_exported()
    page.locator("input").set_input_files(tmp_path / "no.jpg")
    expect(page.get_by_role("listitem")).to_contain_text("no.jpg cannot be read")


def test_the_folder_passes_the_check(folder: Path) -> None:
    assert main(["export", "check", str(folder)]) == 0


def test_the_model_for_transformers_js_takes_what_its_files_say(folder: Path, client: Client, task: str) -> None:
    inside = folder / "transformers.js"
    config, preprocessor = (json.loads((inside / f"{name}.json").read_text()) for name in ("config", "preprocessor_config"))
    steps = {name for name, value in preprocessor.items() if name.startswith("do_") and value}
    assert not steps
    session = onnxruntime.InferenceSession(inside / "onnx" / "model.onnx")
    assert [each.name for each in session.get_inputs()] == ["pixel_values"]
    for path, prediction in zip(QUERIES, client.predict(task, QUERIES).checked(), strict=True):
        levels = np.asarray(Image.open(path).convert("RGB"), np.float32).transpose(2, 0, 1)
        (logits,) = session.run(["logits"], {"pixel_values": levels[None]})
        shares = np.exp(logits[0] - logits[0].max())
        scores = {config["id2label"][str(at)]: share for at, share in enumerate((shares / shares.sum()).tolist())}
        assert scores == pytest.approx(prediction.scores, abs=1e-3)


def test_a_folder_without_the_runtime_is_refused_or_says_what_to_do(
    task: str, client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = ["--url", client.url, "export", task, "--format", "web", "--out", str(tmp_path / "page")]
    assert main([*export, "--onnxruntime-web", str(tmp_path)]) == 2
    assert "has no ort.wasm.min.js" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()
    assert main(export) == 0
    assert "npm install onnxruntime-web" in capsys.readouterr().out
    assert [*(tmp_path / "page" / "ort").iterdir()] == []
