"""Opens a bundle on an engine: verified, checked against its golden images, and warm."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from models.bundle import Bundle, BundleError
from models.engine import Engine, EngineError, EngineKind, cuda_device, device_name, file_of, open_engine, release_memory
from models.heads.fitter import Fitter, measured_fitter
from models.heads.head import BackboneRef
from models.processor import available_cores
from models.runtimes.devices import torch_has_cuda
from models.runtimes.onnx import can_run
from server.engine import folders
from server.engine.class_names import ClassNames, class_names_of
from server.engine.default_bundle import Choice
from server.engine.shared.remote import RemoteEngine
from server.errors import BackboneNotFound, BackboneUnavailable, InvalidBundle
from server.settings import Settings

OpenElsewhere = Callable[[Bundle, EngineKind], Engine | RemoteEngine]
"""Opens a bundle's engine in another process. Raises EngineError or BundleError if it cannot be run there."""

_log = logging.getLogger(__name__)

_FITS_MEASURED, _WEIGHTS = "fit-speedups.json", "weights"


class Opened(NamedTuple):
    """A bundle that can serve.

    Attributes:
        class_names: embeds class names; None where the bundle has no network that can.
    """

    bundle: Bundle
    engine: Engine | RemoteEngine
    fitter: Fitter
    class_names: ClassNames | None


def open_default(choice: Choice, settings: Settings, elsewhere: OpenElsewhere | None) -> Opened | None:
    """Opens the bundle that new tasks get. Returns None if it cannot be opened and the server does not need it.

    Args:
        elsewhere: opens engines in another process; None if this one runs them.

    Raises:
        BundleError: it cannot be opened and the server needs it; or the folder of bundles is missing or holds the id of a
            shipped one.
        EngineError: no engine that the settings allow runs it.
    """
    folder = settings.bundles_dir
    if not folder.is_dir():
        raise BundleError("no such folder", folder)
    found = folders.find(folder)
    for id_ in found:
        folders.check_id(id_, folder)
    try:
        if choice.id not in found:
            known = f"known: {', '.join(found) or 'none'}"
            raise BundleError(f"bundle {choice.id} is unknown; {known}" if choice.needed else "it is not on this server")
        return _run(folders.open_found(choice.id, folder), settings, settings.engine, elsewhere)
    except BundleError as error:
        if choice.needed:
            raise
        _log.error("%s, which new tasks get, cannot be opened: %s", choice.id, error)
        return None


def open_bundle_of(id_: str, settings: Settings, elsewhere: OpenElsewhere | None) -> Opened:
    """Opens a bundle on the engine that the settings choose for it.

    Raises:
        BackboneNotFound: there is no bundle of that id.
        InvalidBundle: it cannot be trusted, read, or run here.
    """
    try:
        folders.check_id(id_, settings.bundles_dir)
        return _run(folders.open_found(id_, settings.bundles_dir), settings, settings.engine, elsewhere)
    except KeyError:
        raise BackboneNotFound(id_) from None
    except (BundleError, EngineError) as error:
        _log.warning("%s cannot be opened: %s", id_, error)
        raise InvalidBundle(f"bundle {id_} cannot be opened: {error.problem}") from error


def open_file(backbone: BackboneRef, settings: Settings, elsewhere: OpenElsewhere | None = None, *, on_cuda: bool) -> Opened:
    """Opens the bundle of a backbone file on an engine that runs exactly this file.

    Args:
        on_cuda: whether engines on a GPU are tried first.

    Raises:
        BackboneUnavailable: it is not here, has changed, or cannot be run.
    """
    cpu: list[EngineKind] = ["onnx", "onnx-int8", "onnx-fp16", "torchscript"]
    cuda: list[EngineKind] = ["onnx-cuda", "onnx-fp16-cuda", "torchscript-cuda"]
    try:
        bundle = folders.open_found(backbone.bundle, settings.bundles_dir)
        for kind in cuda + cpu if on_cuda else cpu:
            if (entry := bundle.manifest.files.get(file_of(kind))) and entry.sha256 == backbone.sha256:
                try:
                    return _run(bundle, settings, kind, elsewhere)
                except (EngineError, BundleError) as error:
                    _log.warning("%s cannot be served by %s: %s", bundle.id, kind, error)
    except (KeyError, BundleError) as error:
        _log.warning("%s cannot be opened for its tasks: %s", backbone.bundle, error)
    raise BackboneUnavailable(
        f"this task was made with backbone {backbone.bundle} (file {backbone.sha256[:12]}…), which this server does not have; "
        "waiting does not help: bring its bundle back and open it, or move the task onto another one with a refresh"
    )


def _run(bundle: Bundle, settings: Settings, kind: EngineKind, elsewhere: OpenElsewhere | None) -> Opened:
    class_names = class_names_of(bundle, settings.threads or available_cores())
    engine = elsewhere(bundle, kind) if elsewhere else _open_here(bundle, settings, kind)
    fitter = _fitter(engine, settings, settings.data_dir / _FITS_MEASURED)
    # Fits a head that nobody needs, so that the first task does not wait for the linear algebra to load.
    labels = [str(i % 2) for i in range(len(bundle.golden_embeddings))]
    fitter.fit(bundle.golden_embeddings, labels, bundle.manifest.head.options())
    release_memory()
    return Opened(bundle, engine, fitter, class_names)


def _open_here(bundle: Bundle, settings: Settings, kind: EngineKind) -> Engine:
    # PyTorch is asked only where an engine may run on a GPU: importing it takes seconds and much memory.
    stays = settings.fit_device != "cpu" and (kind == "torchscript-cuda" or can_run("onnx-cuda")) and torch_has_cuda()
    shared = settings.data_dir / _WEIGHTS if settings.processes > 1 else None
    return open_engine(bundle, kind, settings.threads, settings.data_dir, ("cuda",) if stays else (), shared)


def _fitter(engine: Engine | RemoteEngine, settings: Settings, measured: Path) -> Fitter:
    """Returns what fits heads on the engine's embeddings.

    Raises:
        EngineError: the settings want a GPU, and there is none.
    """
    if settings.fit_device == "cuda":
        return Fitter(engine.space, cuda_device())
    if settings.fit_device == "auto" and engine.device is not None:
        return measured_fitter(engine.space, engine.device, device_name(engine.device), measured)
    return Fitter(engine.space)
