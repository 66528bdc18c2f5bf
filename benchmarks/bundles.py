"""Bundles for benchmarks and tests."""

from pathlib import Path

from models.bundle import open_bundle, write_bundle


def copy_bundle(source: Path, folder: Path, name: str, version: str = "1") -> str:
    """Copies a bundle's files under another id, and returns the id."""
    manifest = open_bundle(source).manifest.model_copy(update={"name": name, "version": version})
    write_bundle(folder, manifest, {file: (source / file).read_bytes() for file in manifest.files})
    return manifest.id
