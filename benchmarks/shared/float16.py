"""A bundle with a float16 version, for benchmarks of bundles that were made before there was one."""

from pathlib import Path

from models.bundle import ONNX, ONNX_FP16, Bundle, open_bundle, write_bundle
from training.export.graphs import to_float16


def with_float16(bundle: Bundle, folder: Path) -> Bundle:
    """Writes a copy of the bundle into the folder, with the float16 version that an export would make, and opens it."""
    contents = {name: bundle.read(name) for name in bundle.manifest.files}
    return open_bundle(write_bundle(folder, bundle.manifest, {**contents, ONNX_FP16: to_float16(contents[ONNX])}))
