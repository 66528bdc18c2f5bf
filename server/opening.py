"""From a bundle's folder to an engine that runs it: verified, checked against its golden images, warm."""

import logging
from pathlib import Path

from models.bundle import Bundle, BundleError
from models.engine import Engine, EngineError, EngineKind, file_of, open_engine, release_memory
from models.fitting import fit_head
from models.heads import BackboneRef
from server import bundles
from server.errors import BackboneNotFound, BackboneUnavailable, InvalidBundle, StorageFailed
from server.settings import Settings

_log = logging.getLogger(__name__)

_DEFAULT = "default-bundle"

Opened = tuple[Bundle, Engine]


def open_default(settings: Settings) -> Opened:
    """The bundle that new tasks get: the one that the settings name, or else the one remembered, or else the newest.

    Raises:
        BundleError, EngineError: it cannot be opened, or there is none.
    """
    folder = settings.bundles_dir
    if not folder.is_dir():
        raise BundleError("no such folder", folder)
    found = bundles.manifests(folder)
    for id_ in found:
        bundles.check_id(id_, folder)
    if settings.bundle:
        if settings.bundle not in bundles.find(folder):
            raise BundleError(f"bundle {settings.bundle} is unknown; known: {', '.join(found) or 'none'}")
        return _run(bundles.open_found(settings.bundle, folder), settings, settings.engine)
    newest = sorted(found, key=lambda id_: found[id_].created_at, reverse=True)
    remembered = _remembered(settings.data_dir, newest)
    for id_ in [*remembered, *newest]:
        try:
            bundle = bundles.open_found(id_, folder)
        except BundleError as error:
            _log.warning("bundle left out: %s", error)
        else:
            return _run(bundle, settings, settings.engine)
    raise BundleError("no bundle here", folder)


def open_bundle_of(id_: str, settings: Settings) -> Opened:
    """A bundle, on the engine that the settings choose for it.

    Raises:
        BackboneNotFound: there is none of that id.
        InvalidBundle: it cannot be trusted, read, or run here.
    """
    try:
        bundles.check_id(id_, settings.bundles_dir)
        return _run(bundles.open_found(id_, settings.bundles_dir), settings, settings.engine)
    except KeyError:
        raise BackboneNotFound(id_) from None
    except (BundleError, EngineError) as error:
        _log.warning("%s cannot be opened: %s", id_, error)
        raise InvalidBundle(f"bundle {id_} cannot be opened: {error.problem}") from error


def open_file(backbone: BackboneRef, settings: Settings, *, on_cuda: bool) -> Opened:
    """The bundle of a backbone file, on an engine that runs this very file.

    Args:
        on_cuda: whether engines on a GPU are tried first.

    Raises:
        BackboneUnavailable: it is not here, has changed, or cannot be run.
    """
    cpu: list[EngineKind] = ["onnx", "onnx-int8", "torchscript"]
    cuda: list[EngineKind] = ["onnx-cuda", "torchscript-cuda"]
    try:
        bundle = bundles.open_found(backbone.bundle, settings.bundles_dir)
        for kind in cuda + cpu if on_cuda else cpu:
            if (entry := bundle.manifest.files.get(file_of(kind))) and entry.sha256 == backbone.sha256:
                try:
                    return _run(bundle, settings, kind)
                except (EngineError, BundleError) as error:
                    _log.warning("%s cannot be served by %s: %s", bundle.id, kind, error)
    except (KeyError, BundleError) as error:
        _log.warning("%s cannot be opened for its tasks: %s", backbone.bundle, error)
    raise BackboneUnavailable(
        f"this task was made with backbone {backbone.bundle} (file {backbone.sha256[:12]}…), which this server does not have"
    )


def remember_default(id_: str, data_dir: Path) -> None:
    """Keeps what `open_default` will take.

    Raises:
        StorageFailed: it cannot be written.
    """
    file = data_dir / _DEFAULT
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        temporary.write_text(f"{id_}\n")
        temporary.replace(file)
    except OSError as error:
        _log.error("%s: %s", file, error.strerror)
        raise StorageFailed("the default cannot be remembered; nothing was changed") from error


def _remembered(data_dir: Path, known: list[str]) -> list[str]:
    try:
        id_ = (data_dir / _DEFAULT).read_text().strip()
    except FileNotFoundError:
        return []
    if id_ not in known:
        _log.warning("the default was %s, which is not here any more; taking the newest bundle", id_)
        return []
    return [id_]


def _run(bundle: Bundle, settings: Settings, kind: EngineKind) -> Opened:
    engine = open_engine(bundle, kind, settings.threads, settings.data_dir / "int8-speedups.json")
    # Fits a head that nobody needs, so that the first task does not pay for loading the linear algebra.
    labels = [str(i % 2) for i in range(len(bundle.golden_embeddings))]
    fit_head(bundle.golden_embeddings, labels, engine.space, bundle.manifest.head.options())
    release_memory()
    return bundle, engine
