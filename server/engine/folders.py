"""The bundles in this server's folders. Each call looks into the folders anew, since bundles are added while the server runs."""

import logging
from collections.abc import Collection
from pathlib import Path

from models.bundle import SHIPPED, Bundle, BundleError, find_bundles, open_bundle, read_manifest
from models.manifest import Manifest

_log = logging.getLogger(__name__)


def find(bundles_dir: Path) -> dict[str, Path]:
    """Returns the path of every bundle of the shipped folder and of `bundles_dir`, by id. Shipped bundles take precedence."""
    return find_bundles(bundles_dir) | find_bundles(SHIPPED)


def manifests(bundles_dir: Path, wanted: Collection[str] | None = None) -> dict[str, Manifest]:
    """Returns by id the manifest of every bundle, or of every wanted one. Bundles with an unreadable manifest are left out."""
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
    """Opens one of the bundles, with every file verified.

    Raises:
        KeyError: there is no bundle of that id.
        BundleError: it cannot be trusted or read.
    """
    path = find(bundles_dir)[id_]
    _described(id_, path)
    return open_bundle(path)


def check_id(id_: str, bundles_dir: Path) -> None:
    """Refuses a bundle in `bundles_dir` that has the id of a shipped bundle.

    Tasks depend on the exact files of their bundle. If another bundle took its id, they would lose those files.

    Raises:
        BundleError: `bundles_dir` has such a bundle.
    """
    shipped, theirs = find_bundles(SHIPPED).get(id_), find_bundles(bundles_dir).get(id_)
    if shipped and theirs and shipped.resolve() != theirs.resolve():
        raise BundleError(f"{id_} is the id of a shipped bundle; export this one under another name or version", theirs)


def _described(id_: str, path: Path) -> Manifest:
    manifest = read_manifest(path)
    if manifest.id != id_:
        raise BundleError(f"the manifest says {manifest.id}; the folders must have the same name and version", path)
    return manifest
