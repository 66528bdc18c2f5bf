"""Does an export answer as its server does? The same images to both, by a task of random classes.

python -m benchmarks.export_parity --data caltech101.zip --formats onnx web
"""

import argparse
import base64
import io
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageOps
from playwright.sync_api import sync_playwright

from benchmarks.server_process import ROOT, ServerProcess
from exporting.model import Found, find, to_onnx
from exporting.web import write_folder
from headstart import Client
from models.bundle import DEFAULT_BUNDLE
from training.data.files import Source
from training.data.sources import list_sources

_RUNTIME = ROOT / "clients" / "web" / "node_modules" / "onnxruntime-web" / "dist"
_CLASSIFY = """
async (encoded) => {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    const { probabilities, known } = await classify(new Blob([bytes]));
    return [probabilities, known];
}"""

Answer = tuple[NDArray[np.float64], bool]


def main() -> None:
    arguments = _parser().parse_args()
    rng = np.random.default_rng(arguments.seed)
    support, queries = _chosen(list(list_sources(arguments.data)), arguments, rng)
    images = [source.read() for source in queries]
    with tempfile.TemporaryDirectory() as folder:
        flags = ("--engine", arguments.engine)
        with ServerProcess(Path(folder) / "data", *flags, bundle=arguments.bundle) as server, Client(server.url) as client:
            task = client.create_task("parity", [(source.class_name, source.read()) for source in support])
            found = find(client.classifier(task.id), None)
            labels = found.classifier.head.labels
            predictions = client.predict(task.id, images).checked()
        served = [(np.array([each.scores[label] for label in labels]), bool(each.known)) for each in predictions]
        print(f"{found.bundle.id}, {found.file}; {len(labels)} classes of {arguments.shots} examples; {len(images)} images")
        print(f"{'format':<8}{'largest difference':>20}{'99 % below':>12}{'above 0.001':>13}{'same label':>12}{'same known':>12}")
        for name in arguments.formats:
            with _FORMATS[name](found, Path(folder) / name) as answer:
                _tell(name, served, [answer(image) for image in images])


def _chosen(sources: Sequence[Source], asked: argparse.Namespace, rng: np.random.Generator) -> tuple[list[Source], list[Source]]:
    """Returns a few examples of some classes, and queries: half of them of these classes, and half of others."""
    names = sorted({source.class_name for source in sources})
    known = set(rng.permutation(names)[: asked.ways].tolist())
    shuffled = [sources[at] for at in rng.permutation(len(sources))]
    support: list[Source] = []
    own, others = [], []
    for source in shuffled:
        if source.class_name not in known:
            others.append(source)
        elif sum(each.class_name == source.class_name for each in support) < asked.shots:
            support.append(source)
        else:
            own.append(source)
    half = min(len(own), -(-asked.images // 2))
    return support, own[:half] + others[: asked.images - half]


@contextmanager
def _onnx(found: Found, _folder: Path) -> Iterator[Callable[[bytes], Answer]]:
    """Yields the program that the export prints, as a function."""
    session = onnxruntime.InferenceSession(to_onnx(found))
    side = 2 * max(found.bundle.manifest.input.height, found.bundle.manifest.input.width)

    def answer(image: bytes) -> Answer:
        picture = Image.open(io.BytesIO(image))
        picture.draft("RGB", (side, side))
        pixels = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        probabilities, known, _ = session.run(None, {"image": pixels[None]})
        return probabilities[0], bool(known[0])

    yield answer


@contextmanager
def _web(found: Found, folder: Path) -> Iterator[Callable[[bytes], Answer]]:
    """Yields the function of the page, in Chromium."""
    write_folder(found, folder, _RUNTIME)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")

        def answer(image: bytes) -> Answer:
            probabilities, known = page.evaluate(_CLASSIFY, base64.b64encode(image).decode())
            return np.array(probabilities), known

        yield answer
        browser.close()
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Says nothing."""


_FORMATS = {"onnx": _onnx, "web": _web}


def _tell(name: str, served: Sequence[Answer], exported: Sequence[Answer]) -> None:
    pairs = list(zip(served, exported, strict=True))
    differences = np.array([np.abs(here - there).max() for (here, _), (there, _) in pairs])
    labels = np.mean([here.argmax() == there.argmax() for (here, _), (there, _) in pairs])
    known = np.mean([here == there for (_, here), (_, there) in pairs])
    print(
        f"{name:<8}{differences.max():>20.2g}{np.quantile(differences, 0.99):>12.2g}{np.mean(differences > 1e-3):>12.1%} "
        f"{labels:>11.2%} {known:>11.2%}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export_parity", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of class folders, or zips of them")
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE, help="of the task (default %(default)s)")
    parser.add_argument("--engine", default="onnx", help="of the server; the export has its file (default %(default)s)")
    parser.add_argument("--formats", nargs="+", choices=[*_FORMATS], default=["onnx"])
    parser.add_argument("--ways", type=int, default=5)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
