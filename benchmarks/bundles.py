"""Bundles for benchmarks and tests."""

from pathlib import Path

import onnx

from models.bundle import ONNX, ONNX_FP16, ONNX_INT8, open_bundle, write_bundle


def copy_bundle(source: Path, folder: Path, name: str, version: str = "1") -> str:
    """Copies a bundle's files under another id, and returns the id."""
    manifest = open_bundle(source).manifest.model_copy(update={"name": name, "version": version})
    write_bundle(folder, manifest, {file: (source / file).read_bytes() for file in manifest.files})
    return manifest.id


def twin_of(source: Path, folder: Path) -> Path:
    """Writes a bundle that does the same from backbone files of its own, so that it cannot use the other's embeddings."""
    bundle = open_bundle(source)
    contents = {name: (source / name).read_bytes() for name in bundle.manifest.files}
    for name in contents.keys() & {ONNX, ONNX_INT8, ONNX_FP16}:
        graph = onnx.load_from_string(contents[name])
        graph.doc_string = "twin"
        contents[name] = graph.SerializeToString()
    return write_bundle(folder / "twin", bundle.manifest.model_copy(update={"name": f"{bundle.manifest.name}-twin"}), contents)
