"""A task's version as a folder for browsers: a page that classifies offline, and a model in the layout of transformers.js."""

import json
import shutil
from pathlib import Path
from typing import Any

from exporting.errors import ExportError
from exporting.model import Found, to_logits, to_onnx
from exporting.names import MODEL, TRANSFORMERS, TRANSFORMERS_CONFIG, TRANSFORMERS_MODEL
from exporting.whole import written_whole

RUNTIME = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""The files of onnxruntime-web that the page loads from its folder `ort`."""

_PAGE = Path(__file__).parent / "page" / "index.html"
_PREPROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": False,  # the library's own resizing leaves out pixels; the graph has the server's
    "do_center_crop": False,
    "do_rescale": False,  # the graph takes levels from 0 to 255
    "do_normalize": False,
}


def write_folder(found: Found, folder: Path, runtime: Path | None) -> None:
    """Writes the folder.

    - `index.html`, `model.onnx` and `ort/` are the page. The model is the one of `to_onnx`.
    - `transformers.js/` has `config.json`, `preprocessor_config.json` and `onnx/model.onnx`, for its pipeline
      `image-classification`, which knows no strangers.

    Args:
        folder: a new one.
        runtime: the folder `dist` of the npm package onnxruntime-web; None to leave `ort/` empty.

    Raises:
        ExportError: as `to_onnx`; or `runtime` lacks a file.
        OSError: `folder` exists, or a file cannot be read or written. No folder is left then.
    """
    files = [runtime / name for name in RUNTIME] if runtime else []
    for file in files:
        if not file.is_file():
            raise ExportError(f"{runtime} has no {file.name}; name the folder `dist` of the npm package onnxruntime-web")
    model, logits = to_onnx(found), to_logits(found)
    with written_whole(folder) as whole:
        transformers = whole / TRANSFORMERS
        for each in (whole, whole / "ort", transformers, (transformers / TRANSFORMERS_MODEL).parent):
            each.mkdir()
        (whole / MODEL).write_bytes(model)
        (whole / "index.html").write_text(_page(found), encoding="utf-8")
        (transformers / TRANSFORMERS_MODEL).write_bytes(logits)
        for name, content in ((TRANSFORMERS_CONFIG, _config(found)), ("preprocessor_config.json", _PREPROCESSOR)):
            text = json.dumps(content, ensure_ascii=False, indent=1)
            (transformers / name).write_text(f"{text}\n", encoding="utf-8")
        for file in files:
            shutil.copyfile(file, whole / "ort" / file.name)


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
