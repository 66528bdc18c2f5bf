"""An ONNX file in the form that ONNX Runtime maps into memory, so that processes share the pages of its weights.

From a bundle's file, ONNX Runtime copies the weights to the heap of each process and lays them out for the processor. The mapped
form is what it made, saved: the optimised graph, and beside it the weights, with those packed copies that it can save. It depends
on the release of ONNX Runtime and on the processor.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime

from models.bundle import Bundle
from models.heads.head import Float32
from models.processor import instructions, processor_name
from models.runtimes.sessions import open_session, save_optimised

_GRAPH, _WEIGHTS, _SUMS = "graph.onnx", "weights", "SHA256SUMS"
_TEMPORARY = "."  # begins the names of what is not finished
_DAYS_UNUSED = 30
# https://github.com/microsoft/onnxruntime/blob/main/include/onnxruntime/core/session/onnxruntime_session_options_config_keys.h
_SAVED = {
    "session.optimized_model_external_initializers_file_name": _WEIGHTS,
    "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
    "session.save_external_prepacked_constant_initializers": "1",
}

_log = logging.getLogger(__name__)


def mapped_form(bundle: Bundle, file: str, folder: Path) -> Path | None:
    """Returns the graph of the mapped form of a bundle's file. None if it cannot be made, which the log says.

    It is made if `folder` does not hold it whole, which checksums tell. Then it must give the golden images the very embeddings
    that the file gives them. Forms that nobody opened for thirty days leave when another is made.

    Args:
        folder: made if missing. Several processes may use it at once.
    """
    form = folder / _name(bundle.manifest.files[file].sha256)
    try:
        with suppress(FileNotFoundError):
            os.utime(form)  # before it is looked at, so that no other process takes it for old
        if not _is_whole(form):
            with _alone_in(folder):
                if not _is_whole(form):  # Another process may have been faster.
                    _make(form, bundle, file)
    except Exception as error:  # ONNX Runtime's exceptions share no base but Exception.
        _log.warning("%s: processes do not share the weights of %s: %s", bundle.id, file, error)
        return None
    return form / _GRAPH


def _name(sha256: str) -> str:
    here = f"ONNX Runtime {onnxruntime.__version__}, {processor_name()}, {instructions()}, {_SAVED}"
    return f"{sha256[:16]}-{hashlib.sha256(f'{sha256}, {here}'.encode()).hexdigest()[:16]}"


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes out of the block."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # It ends with its process, however that ends.
        yield


def _make(form: Path, bundle: Bundle, file: str) -> None:
    """Makes a form completely or not at all.

    Its files are never written again: a mapped file that became shorter would end the processes that read it.

    Raises:
        OSError: it cannot be written.
        ValueError: it does not compute what the bundle's file does.
    """
    _remove_old(form.parent)
    with TemporaryDirectory(prefix=_TEMPORARY, dir=form.parent) as temporary:
        made = Path(temporary, form.name)
        made.mkdir()
        plain = save_optimised(bundle.read(file), made / _GRAPH, _SAVED)
        (made / _WEIGHTS).touch()  # Of a very small network all is in the graph.
        for name in (_GRAPH, _WEIGHTS):
            _write_out(made / name)
        if not np.array_equal(_embeddings(plain, bundle), _embeddings(open_session(made / _GRAPH, 1), bundle)):
            raise ValueError("the mapped form gives other embeddings")
        (made / _SUMS).write_text(_sums(made))
        shutil.rmtree(form, ignore_errors=True)  # It was not whole.
        made.rename(form)


def _embeddings(session: onnxruntime.InferenceSession, bundle: Bundle) -> Float32:
    embeddings: Float32 = session.run(None, {session.get_inputs()[0].name: bundle.golden_pixels})[0]
    return embeddings


def _write_out(path: Path) -> None:
    """Has the system write a file to its disk, which may be full."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _is_whole(form: Path) -> bool:
    try:
        return (form / _SUMS).read_text() == _sums(form)
    except (OSError, UnicodeDecodeError):
        return False


def _sums(form: Path) -> str:
    """Returns lines as those of the command `sha256sum`."""
    lines = []
    for name in (_GRAPH, _WEIGHTS):
        with (form / name).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)


def _remove_old(folder: Path) -> None:
    """Removes what a process that ended has left half made, and forms that nobody has opened for long.

    Processes that have mapped one keep its pages.
    """
    oldest = time.time() - _DAYS_UNUSED * 24 * 3600
    for each in folder.iterdir():
        if each.is_dir() and (each.name.startswith(_TEMPORARY) or each.stat().st_mtime < oldest):
            shutil.rmtree(each, ignore_errors=True)
