"""Sessions of ONNX Runtime, all with the same options."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

CPU = "CPUExecutionProvider"

Providers = Sequence[str | tuple[str, dict[str, Any]]]


def open_session(model: bytes | Path, threads: int, providers: Providers = (CPU,)) -> onnxruntime.InferenceSession:
    """Opens an ONNX file.

    Args:
        model: the file's contents, or the path of one that is optimised already.
        threads: CPU threads of one inference.
        providers: what runs it, the preferred one first.
    """
    options = _options(threads, providers)
    if isinstance(model, bytes):
        return onnxruntime.InferenceSession(model, options, providers=providers)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(model), options, providers=providers)


def save_optimised(model: bytes, graph: Path, entries: Mapping[str, str]) -> onnxruntime.InferenceSession:
    """Opens an ONNX file for a CPU, and saves what it became for this processor. Returns the session.

    Args:
        graph: where to save it.
        entries: of the session's configuration, such as where its weights go.
    """
    options = _options(1, (CPU,))
    options.optimized_model_filepath = str(graph)
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(model, options, providers=[CPU])


def _options(threads: int, providers: Providers) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would keep the decoders from the cores between batches.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A pattern is a block of memory for each size of batch, which the session keeps. On a CPU it makes nothing faster.
    options.enable_mem_pattern = tuple(providers) != (CPU,)
    options.log_severity_level = 3
    return options
