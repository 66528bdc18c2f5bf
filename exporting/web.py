"""A task's version as a folder for browsers: a page that classifies offline, and a model in the layout of transformers.js."""

import json
import shutil
from pathlib import Path
from typing import Any

from exporting.errors import ExportError
from exporting.model import Found, to_logits, to_onnx
from exporting.names import MODEL

RUNTIME = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""The files of onnxruntime-web that the page loads from its folder `ort`."""

_PAGE = Path(__file__).parent / "page" / "index.html"
_RESAMPLE = {"bilinear": 2, "bicubic": 3}  # by Pillow's numbers


def write_folder(found: Found, folder: Path, runtime: Path | None) -> None:
    """Writes the folder.

    - `index.html`, `model.onnx` and `ort/` are the page. The model is the one of `to_onnx`.
    - `transformers.js/` has `config.json`, `preprocessor_config.json` and `onnx/model.onnx`, for its pipeline
      `image-classification`. That resizes images itself, and knows no strangers.

    Args:
        folder: a new one.
        runtime: the folder `dist` of the npm package onnxruntime-web; None to leave `ort/` empty.

    Raises:
        ExportError: as `to_onnx`; or `runtime` lacks a file.
        OSError: a file cannot be read or written.
    """
    files = [runtime / name for name in RUNTIME] if runtime else []
    for file in files:
        if not file.is_file():
            raise ExportError(f"{runtime} has no {file.name}; name the folder `dist` of the npm package onnxruntime-web")
    model, logits = to_onnx(found), to_logits(found)
    for each in (folder, folder / "ort", folder / "transformers.js", folder / "transformers.js" / "onnx"):
        each.mkdir()
    (folder / MODEL).write_bytes(model)
    (folder / "index.html").write_text(_page(found), encoding="utf-8")
    (folder / "transformers.js" / "onnx" / "model.onnx").write_bytes(logits)
    for name, content in (("config", _config(found)), ("preprocessor_config", _preprocessor(found))):
        text = json.dumps(content, ensure_ascii=False, indent=1)
        (folder / "transformers.js" / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
    for file in files:
        shutil.copyfile(file, folder / "ort" / file.name)


def _page(found: Found) -> str:
    head = found.classifier.head
    about = {"name": found.classifier.name, "labels": head.labels, "several_labels": head.independent}
    # Inside a script element, only this character can end it.
    return _PAGE.read_text(encoding="utf-8").replace("ABOUT", json.dumps(about, ensure_ascii=False).replace("<", "\\u003c"), 1)


def _config(found: Found) -> dict[str, Any]:
    head = found.classifier.head
    labels = {str(at): label for at, label in enumerate(head.labels)}
    return {
        "model_type": "vit",  # the library has no name for a graph of its own; by any it runs the file as it is
        "architectures": ["ViTForImageClassification"],
        "id2label": labels,
        "label2id": {label: int(at) for at, label in labels.items()},
        "problem_type": "multi_label_classification" if head.independent else "single_label_classification",
    }


def _preprocessor(found: Found) -> dict[str, Any]:
    spec = found.bundle.manifest.input
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": max(spec.height, spec.width)},
        "resample": _RESAMPLE[spec.interpolation],
        "do_center_crop": True,
        "crop_size": {"height": spec.height, "width": spec.width},
        "do_rescale": False,  # the graph takes levels from 0 to 255
        "do_normalize": False,
    }
