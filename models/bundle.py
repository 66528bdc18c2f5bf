"""A bundle on disk: `<name>/<version>/` with a manifest, a backbone and what serving it needs.

Opening a bundle verifies the size and sha256 of every file that the manifest names. Nothing is ever unpickled.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.numpy import load, save

from models.heads.head import BackboneRef, EmbeddingSpace, Float32
from models.images.preprocess import Pixels
from models.manifest import FileEntry, Imported, Manifest
from models.onnx_file import has_external_data

MANIFEST = "manifest.json"
ONNX = "backbone.onnx"
ONNX_INT8 = "backbone.int8.onnx"
ONNX_FP16 = "backbone.fp16.onnx"
TORCHSCRIPT = "backbone.ts"
STATISTICS = "statistics.safetensors"
GOLDEN = "golden.safetensors"
CARD = "README.md"
TEXT: Final = "text.onnx"
TOKENIZER: Final = "tokenizer.json"

PIXELS = "pixels"
"""The input of a bundle's ONNX files."""
SHIPPED = Path(__file__).parent / "bundles"
DEFAULT_BUNDLE = "photos@1"
"""The bundle of new tasks in a fresh data directory; the only place in code that names it."""
PAPER_BUNDLE = "cifar-fs-resnet12@1"
"""The paper's network, of 32 x 32 pixels, for tests and tables. No server uses it by default."""

# Relative error in the embedding that the golden check allows. Integer arithmetic differs between processors (some saturate),
# so int8 gets the error that still leaves nearest neighbours in place. In float16 every operation rounds to eleven bits.
GOLDEN_TOLERANCE = {ONNX: 1e-3, TORCHSCRIPT: 1e-3, ONNX_INT8: 0.2, ONNX_FP16: 1e-2}


class BundleError(Exception):
    """A bundle that cannot be trusted or read; the message names the file.

    Attributes:
        problem: the message without the bundle's `folder`, for readers who must not see that path.
    """

    def __init__(self, problem: str, folder: Path | None = None) -> None:
        super().__init__(f"{folder}: {problem}" if folder else problem)
        self.problem = problem


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """An opened, verified bundle.

    Attributes:
        feature_mean: float32 (D,), the mean embedding of the base classes.
        background: float32 (M, D), a sample of base-class embeddings.
        golden_pixels: uint8 (N, H, W, 3).
        golden_embeddings: float32 (N, D), the float32 backbone's embeddings of `golden_pixels`.
    """

    path: Path
    manifest: Manifest
    feature_mean: Float32
    background: Float32
    golden_pixels: Pixels
    golden_embeddings: Float32

    @property
    def id(self) -> str:
        return self.manifest.id

    def read(self, file: str) -> bytes:
        """Returns the contents of one of the bundle's files. They are verified again, since the file may have changed since it
        was opened.

        Raises:
            BundleError: the file differs from what the manifest describes.
        """
        return _read_verified(self.path, file, self.manifest.files[file])

    def space(self, file: str) -> EmbeddingSpace:
        """Returns the embedding space of one of the bundle's backbone files."""
        return EmbeddingSpace(BackboneRef(self.id, self.manifest.files[file].sha256), self.feature_mean)

    def check_golden(self, file: str, embeddings: NDArray[np.floating[Any]]) -> None:
        """Compares an engine's embeddings of the golden inputs with the bundle's own.

        Args:
            file: the backbone file that the engine runs.
            embeddings: (N, D), the engine's.

        Raises:
            BundleError: the relative error is above the tolerance for that file, or the shapes differ.
        """
        wanted = self.golden_embeddings
        if embeddings.shape != wanted.shape:
            raise BundleError(f"{file}: its embeddings are {embeddings.shape}, the golden ones {wanted.shape}", self.path)
        error = float(np.linalg.norm(embeddings - wanted) / np.linalg.norm(wanted))
        if not error <= GOLDEN_TOLERANCE[file]:  # NaN fails too.
            allowed = GOLDEN_TOLERANCE[file]
            raise BundleError(f"{file}: on this engine its embeddings are off by {error:.2g} (allowed {allowed:g})", self.path)


def open_bundle(path: Path) -> Bundle:
    """Opens the bundle in the folder `path`.

    Raises:
        BundleError: a file is missing, altered, of an unknown schema, or an ONNX file with external data.
    """
    manifest = read_manifest(path)
    text = manifest.text
    for name in (ONNX, STATISTICS, GOLDEN, *((text.file, text.tokenizer) if text else ())):
        if name not in manifest.files:
            raise BundleError(f"{MANIFEST}: the manifest does not name {name}", path)
    contents = {name: _read_verified(path, name, entry) for name, entry in manifest.files.items()}
    for name in (ONNX, ONNX_INT8, ONNX_FP16, TEXT):
        if name in contents:
            _refuse_external_data(path, name, contents[name])
    statistics = _tensors(path, STATISTICS, contents[STATISTICS], {"feature_mean": 1, "background": 2})
    golden = _tensors(path, GOLDEN, contents[GOLDEN], {"pixels": 4, "embeddings": 2})
    if statistics["feature_mean"].shape != (manifest.embedding_dim,):
        raise BundleError(f"{STATISTICS}: feature_mean is not {manifest.embedding_dim} wide, as the manifest says", path)
    return Bundle(
        path=path,
        manifest=manifest,
        feature_mean=statistics["feature_mean"].astype(np.float32),
        background=statistics["background"].astype(np.float32),
        golden_pixels=golden["pixels"].astype(np.uint8),
        golden_embeddings=golden["embeddings"].astype(np.float32),
    )


def read_manifest(path: Path) -> Manifest:
    """Reads the manifest of the bundle in the folder `path`. It does not look at the files that the manifest describes.

    Raises:
        BundleError: it is missing, of an unknown schema, or violates the schema.
    """
    try:
        raw = json.loads((path / MANIFEST).read_text())
    except FileNotFoundError:
        raise BundleError(f"{MANIFEST}: not found; is this a bundle?", path) from None
    except OSError as error:
        raise BundleError(f"{MANIFEST}: cannot be read: {error.strerror}", path) from error
    except ValueError as error:
        raise BundleError(f"{MANIFEST}: cannot be read: {error}", path) from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != 1:
        raise BundleError(f"{MANIFEST}: schema version {version!r} is unknown to this release, which reads 1", path)
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise BundleError(f"{MANIFEST}: {where}: {problem['msg']}", path) from error
    for name in manifest.files:
        if Path(name).name != name:
            raise BundleError(f"{MANIFEST}: {name!r} is not a plain file name", path)
    return manifest


def find_bundles(folder: Path) -> dict[str, Path]:
    """Returns every bundle below `folder` by id. A bundle is recognised by its place alone: `<name>/<version>/manifest.json`."""
    paths = sorted(folder.glob(f"*/*/{MANIFEST}"))
    return {f"{p.parts[-3]}@{p.parts[-2]}": p.parent for p in paths if not p.parts[-2].startswith(".")}


def find_file(wanted: BackboneRef, folder: Path | None) -> tuple[Bundle, str]:
    """Finds exactly this backbone file, and returns its bundle and its name there.

    Args:
        folder: of bundles, beside those that are shipped.

    Raises:
        BundleError: no folder has that bundle, its file is another one, or it is damaged.
    """
    found = find_bundles(SHIPPED) | (find_bundles(folder) if folder else {})
    if wanted.bundle not in found:
        raise BundleError(f"the task needs bundle {wanted.bundle}, which is not here; name its folder with --bundles-dir")
    bundle = open_bundle(found[wanted.bundle])
    for file, entry in bundle.manifest.files.items():
        if entry.sha256 == wanted.sha256:
            return bundle, file
    needed = f"the task needs another file of bundle {wanted.bundle} than the one here: {wanted.sha256[:12]}…"
    raise BundleError(needed, bundle.path)


def write_bundle(folder: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Path:
    """Writes `<folder>/<name>/<version>/` completely or not at all, and returns that folder. Fills in `manifest.files` from
    `contents`.

    Raises:
        BundleError: that version exists already, since a published version never changes.
    """
    target = folder / manifest.name / manifest.version
    if target.exists():
        raise BundleError(f"{target} exists already; give the new bundle another version")
    entries = {name: _entry(data) for name, data in contents.items()}
    described = manifest.model_copy(update={"files": entries})
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        for name, data in contents.items():
            (temporary / name).write_bytes(data)
        (temporary / MANIFEST).write_text(_manifest_text(described))
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise BundleError(f"cannot write {target}: {error}") from error
    return target


def replace_manifest(path: Path, manifest: Manifest) -> None:
    """Replaces the manifest of the bundle in the folder `path`, completely or not at all; its files stay as they are.

    Raises:
        BundleError: the manifest cannot be written.
    """
    _replace(path / MANIFEST, _manifest_text(manifest).encode())


def replace_card(path: Path, manifest: Manifest, card: bytes) -> None:
    """Replaces the manifest and the model card of the bundle in the folder `path`.

    Between the steps, the manifest does not name the card. So an interruption at any point leaves a bundle that opens.

    Raises:
        BundleError: a file cannot be written.
    """
    others = {name: entry for name, entry in manifest.files.items() if name != CARD}
    replace_manifest(path, manifest.model_copy(update={"files": others}))
    _replace(path / CARD, card)
    replace_manifest(path, manifest.model_copy(update={"files": {**others, CARD: _entry(card)}}))


def _replace(file: Path, content: bytes) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BundleError(f"cannot write {file}: {error.strerror}") from error


def _entry(content: bytes) -> FileEntry:
    return FileEntry(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def statistics_bytes(feature_mean: Float32, background: Float32) -> bytes:
    """Returns the contents of `statistics.safetensors`."""
    return save({"feature_mean": feature_mean.astype(np.float32), "background": background.astype(np.float16)})


def golden_bytes(pixels: Pixels, embeddings: Float32) -> bytes:
    """Returns the contents of `golden.safetensors`."""
    return save({"pixels": pixels, "embeddings": embeddings.astype(np.float32)})


def _manifest_text(manifest: Manifest) -> str:
    """Returns `manifest.json`. Fields that came later are left out while they are None. Servers from before them refuse fields
    that they do not know, and so read every bundle that uses none of them.
    """
    unused: dict[str, Any] = {}
    if manifest.input.shortest_edge is None:
        unused["input"] = {"shortest_edge"}
    if isinstance(manifest.training, Imported) and manifest.training.licence is None:
        unused["training"] = {"licence"}
    if manifest.text is None:
        unused["text"] = True
    return manifest.model_dump_json(indent=1, exclude=unused) + "\n"


def _read_verified(path: Path, name: str, entry: FileEntry) -> bytes:
    try:
        data = (path / name).read_bytes()
    except OSError as error:
        raise BundleError(f"{name}: cannot be read: {error.strerror}", path) from error
    if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise BundleError(f"{name}: the file differs from the one that the manifest describes", path)
    return data


def _refuse_external_data(path: Path, name: str, data: bytes) -> None:
    try:
        external = has_external_data(data)
    except ValueError as error:
        raise BundleError(f"{name}: not an ONNX file: {error}", path) from error
    if external:
        raise BundleError(f"{name}: keeps tensors in other files; a bundle's ONNX must be self-contained", path)


def _tensors(path: Path, file: str, data: bytes, ranks: dict[str, int]) -> dict[str, NDArray[Any]]:
    try:
        tensors: dict[str, NDArray[Any]] = load(data)
    except Exception as error:  # safetensors raises a type of its own that derives from Exception alone.
        raise BundleError(f"{file}: not a safetensors file", path) from error
    for name, rank in ranks.items():
        if name not in tensors or tensors[name].ndim != rank:
            raise BundleError(f"{file}: needs a tensor {name!r} of {rank} dimensions", path)
    return tensors
