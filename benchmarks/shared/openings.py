"""The ways of opening a backbone that `benchmarks.weights` compares, and the processes that open one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from models.bundle import Bundle, open_bundle
from models.engine import keep_freed_memory_together, release_memory
from models.images.preprocess import Pixels
from models.runtimes.mapped import mapped_form
from models.runtimes.sessions import CPU, open_session

_MAPPED = "mapped form, as with workers"
_BESIDE = {"session.optimized_model_external_initializers_file_name": "weights"}
_IN_PLACE = {
    "session.use_memory_mapped_ort_model": "1",
    "session.use_ort_model_bytes_directly": "1",
    "session.use_ort_model_bytes_for_initializers": "1",
}


@dataclass(frozen=True)
class Way:
    """A way of opening a backbone.

    Attributes:
        options: of ONNX Runtime's `SessionOptions`.
        entries: of the session's configuration.
        saved: the configuration with which the optimised model is saved before and then opened; None to open the bundle's file.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    entries: Mapping[str, str] = field(default_factory=dict)
    saved: Mapping[str, str] | None = None


WAYS = {
    "the file, ONNX Runtime's defaults": Way(),
    "no memory patterns, as one process": Way({"enable_mem_pattern": False}),
    "no arena": Way({"enable_cpu_mem_arena": False}),
    "no packing": Way(entries={"session.disable_prepacking": "1"}),
    "saved, weights beside": Way(saved=_BESIDE),
    "saved, weights beside, no packing": Way(entries={"session.disable_prepacking": "1"}, saved=_BESIDE),
    "saved in the ORT format": Way(entries=_IN_PLACE, saved={"session.save_model_format": "ORT"}),
    _MAPPED: Way(),
}


def open_way(name: str, bundle: Bundle, file: str, folder: Path) -> onnxruntime.InferenceSession:
    """Returns a session on one thread, opened in a way. What that saves is made in `folder` if it is not there."""
    if name == _MAPPED:
        return open_session(mapped_form(bundle, file, folder) or bundle.read(file), 1)
    way = WAYS[name]
    if way.saved is None:
        return _session(bundle.read(file), way)
    made = folder / name.replace(" ", "-") / ("graph.ort" if "ORT" in way.saved.values() else "graph.onnx")
    if not made.exists():
        made.parent.mkdir()
        _session(bundle.read(file), Way({"optimized_model_filepath": str(made)}, way.saved))
    unchanged = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _session(str(made), Way({"graph_optimization_level": unchanged}, way.entries))


def _session(model: bytes | str, way: Way) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    for name, value in way.options.items():
        setattr(options, name, value)
    for name, value in way.entries.items():
        options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(model, options, providers=[CPU])


def embed(session: onnxruntime.InferenceSession, pixels: Pixels) -> Any:
    """Returns the embeddings of images, (N, D)."""
    return session.run(None, {session.get_inputs()[0].name: pixels})[0]


def hold(name: str, path: Path, file: str, folder: Path, connection: Connection) -> None:
    """Opens a backbone, uses it, and keeps it until told to end."""
    keep_freed_memory_together()
    bundle = open_bundle(path)
    started = time.perf_counter()
    session = open_way(name, bundle, file, folder)
    seconds = time.perf_counter() - started
    for size in range(1, 9):
        embed(session, np.resize(bundle.golden_pixels, (size, *bundle.golden_pixels.shape[1:])))
    release_memory()
    connection.send(seconds)
    connection.recv()
