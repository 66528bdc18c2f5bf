"""The bundles in this server's folders, looked for whenever they are asked for, since folders are filled while it runs."""

import logging
from collections.abc import Collection
from pathlib import Path

from models.bundle import SHIPPED, Bundle, BundleError, find_bundles, open_bundle, read_manifest
from models.manifest import Manifest

_log = logging.getLogger(__name__)


def find(bundles_dir: Path) -> dict[str, Path]:
    """Every bundle of the shipped folder and of `bundles_dir` by id; under the id of a shipped one, that."""
    return find_bundles(bundles_dir) | find_bundles(SHIPPED)


def manifests(bundles_dir: Path, wanted: Collection[str] | None = None) -> dict[str, Manifest]:
    """The manifest of each of them, or of each that is wanted, that has one which can be read."""
    found = {}
    for id_, path in find(bundles_dir).items():
        if wanted is not None and id_ not in wanted:
            continue
        try:
            found[id_] = _described(id_, path)
        except BundleError as error:
            _log.warning("bundle left out: %s", error)
    return found


def open_found(id_: str, bundles_dir: Path) -> Bundle:
    """One of them, every file verified.

    Raises:
        KeyError: there is none of that id.
        BundleError: it cannot be trusted or read.
    """
    path = find(bundles_dir)[id_]
    _described(id_, path)
    return open_bundle(path)


def check_id(id_: str, bundles_dir: Path) -> None:
    """Tasks are tied to the very files of a bundle, so one under the id of a shipped bundle would leave them without.

    Raises:
        BundleError: `bundles_dir` has such a bundle.
    """
    shipped, theirs = find_bundles(SHIPPED).get(id_), find_bundles(bundles_dir).get(id_)
    if shipped and theirs and shipped.resolve() != theirs.resolve():
        raise BundleError(f"{id_} is the id of a shipped bundle; export this one under another name or version", theirs)


def _described(id_: str, path: Path) -> Manifest:
    manifest = read_manifest(path)
    if manifest.id != id_:
        raise BundleError(f"holds {manifest.id}; its folders must say so", path)
    return manifest
