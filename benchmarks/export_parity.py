"""Does an export answer as its server does? The same images to both, by a task of random classes.

`onnx` is the program that the export prints, and `web` the page in Chromium. `transformers.js` is its own pipeline in Node.
`tflite` and its server both get images of 224 pixels a side. For `tflite-photographs` the server gets the photographs, as
Frigate's user would compare them. `coreml` and its server both get images of the backbone's size. The operations of the package
are evaluated by PyTorch, since only macOS has Core ML.

python -m benchmarks.export_parity --data caltech101.zip --formats onnx web
"""

import argparse
import base64
import io
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
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
from exporting.names import COREML_SUFFIX, IMAGE, KNOWN, LABEL_PROBABILITIES, TFLITE
from exporting.web import write_folder
from headstart import Client
from models.bundle import DEFAULT_BUNDLE
from models.images.preprocess import load_image
from models.manifest import InputSpec
from training.data.files import Source
from training.data.sources import list_sources

_RUNTIME = ROOT / "clients" / "web" / "node_modules" / "onnxruntime-web" / "dist"
_CLASSIFY = """
async (encoded) => {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    const { probabilities, known } = await classify(new Blob([bytes]));
    return [probabilities, known];
}"""

_PIPELINE = """
import { pipeline, env } from "@huggingface/transformers";
import { createInterface } from "node:readline";
env.allowRemoteModels = false;
env.localModelPath = process.argv[2];
const classify = await pipeline("image-classification", "transformers.js", { dtype: "fp32" });
for await (const line of createInterface({ input: process.stdin })) {
    const image = new Blob([Buffer.from(line, "base64")]);
    console.log(JSON.stringify(await classify(image, { top_k: 1000 })));
}
"""

Answer = tuple[NDArray[np.float64], bool | None]


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
            print(f"{found.bundle.id}, {found.file}; {len(labels)} classes of {arguments.shots} examples; {len(images)} images")
            heads = ("largest difference", "99 % below", "above 0.001", "same label", "same known")
            print(f"{'format':<18}" + "".join(f"{head:>20}" for head in heads))
            for shown, names in _shown(images, arguments.formats, found.bundle.manifest.input):
                predictions = client.predict(task.id, shown).checked()
                served = [(np.array([each.scores[label] for label in labels]), each.known) for each in predictions]
                for name in names:
                    with _FORMATS[name](found, Path(folder) / name, arguments) as answer:
                        _tell(name, served, [answer(image) for image in shown])


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


def _shown(images: Sequence[bytes], formats: Sequence[str], size: InputSpec) -> Iterator[tuple[Sequence[bytes], Sequence[str]]]:
    """Yields the images that the server is shown, with the formats that are compared by them.

    Args:
        size: that the backbone takes.
    """
    fitted = {"tflite": _SQUARE, "coreml": size}
    for name in formats:
        if name in fitted:
            yield [_fitted(image, fitted[name]) for image in images], [name]
    if others := [each for each in formats if each not in fitted]:
        yield images, others


@contextmanager
def _onnx(found: Found, *_: object) -> Iterator[Callable[[bytes], Answer]]:
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
def _web(found: Found, folder: Path, _asked: argparse.Namespace) -> Iterator[Callable[[bytes], Answer]]:
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


@contextmanager
def _tflite(found: Found, folder: Path, _asked: argparse.Namespace) -> Iterator[Callable[[bytes], Answer]]:
    """Yields the model in Google's runtime, on images fitted to its size."""
    from exporting.tflite.model import write_folder as write
    from exporting.tflite.reader import TfLite

    write(found, folder)
    model = TfLite(folder / TFLITE)

    def answer(image: bytes) -> Answer:
        _, probabilities, known, _ = model(load_image(image, _SQUARE)[None])
        return probabilities[0], bool(known[0])

    yield answer


@contextmanager
def _coreml(found: Found, folder: Path, _asked: argparse.Namespace) -> Iterator[Callable[[bytes], Answer]]:
    """Yields the operations of the package, on images fitted to its size."""
    from exporting.coreml.model import write_package

    package = folder.with_suffix(COREML_SUFFIX)
    write_package(found, package)
    from benchmarks.core_ml import Evaluated  # coremltools warns unless `exporting.coreml` came first

    evaluated, labels = Evaluated(package), found.classifier.head.labels

    def answer(image: bytes) -> Answer:
        told = evaluated.predict({IMAGE: Image.open(io.BytesIO(image))})
        shares = told[LABEL_PROBABILITIES]
        return np.array([shares[label] for label in labels]), bool(told[KNOWN].item() > 0.5)

    yield answer


@contextmanager
def _transformers(found: Found, folder: Path, asked: argparse.Namespace) -> Iterator[Callable[[bytes], Answer]]:
    """Yields the pipeline `image-classification` of transformers.js, which does not know strangers."""
    write_folder(found, folder, None)
    (folder / "pipeline.mjs").write_text(_PIPELINE)
    (folder / "node_modules").symlink_to(asked.node_modules.resolve())
    labels = found.classifier.head.labels
    command = ["node", str(folder / "pipeline.mjs"), f"{folder}/"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as node:  # noqa: S603
        taken, given = node.stdin, node.stdout
        assert taken
        assert given

        def answer(image: bytes) -> Answer:
            taken.write(base64.b64encode(image) + b"\n")
            taken.flush()
            scores = {each["label"]: each["score"] for each in json.loads(given.readline())}
            return np.array([scores[label] for label in labels]), None

        yield answer
        taken.close()


def _fitted(image: bytes, size: InputSpec) -> bytes:
    """Returns an image of a size, as the server fits it, in PNG, which loses nothing."""
    written = io.BytesIO()
    Image.fromarray(load_image(image, size)).save(written, "PNG", compress_level=1)
    return written.getvalue()


_SQUARE = InputSpec(height=224, width=224)
_FORMATS: Mapping[str, Callable[[Found, Path, argparse.Namespace], AbstractContextManager[Callable[[bytes], Answer]]]] = {
    "onnx": _onnx,
    "web": _web,
    "tflite": _tflite,
    "tflite-photographs": _tflite,
    "coreml": _coreml,
    "transformers.js": _transformers,
}


def _tell(name: str, served: Sequence[Answer], exported: Sequence[Answer]) -> None:
    pairs = list(zip(served, exported, strict=True))
    differences = np.array([np.abs(here - there).max() for (here, _), (there, _) in pairs])
    labels = np.mean([here.argmax() == there.argmax() for (here, _), (there, _) in pairs])
    known = f"{np.mean([here == there for (_, here), (_, there) in pairs]):.2%}" if exported[0][1] is not None else "not told"
    print(
        f"{name:<18}{differences.max():>20.2g}{np.quantile(differences, 0.99):>20.2g}{np.mean(differences > 1e-3):>20.1%}"
        f"{labels:>20.2%}{known:>20}",
        flush=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export_parity", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of class folders, or zips of them")
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE, help="of the task (default %(default)s)")
    parser.add_argument("--engine", default="onnx", help="of the server; the export has its file (default %(default)s)")
    parser.add_argument("--formats", nargs="+", choices=[*_FORMATS], default=["onnx"])
    parser.add_argument("--node-modules", type=Path, help="a folder node_modules with @huggingface/transformers")
    parser.add_argument("--ways", type=int, default=5)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
