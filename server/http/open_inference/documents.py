"""Documents about models: metadata, Triton's configuration, the index of the repository, and statistics.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_configuration.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.json import encode

from server.http.open_inference.tensors import Datatype
from server.inference_counts import Counts, ModelVersion

PLATFORM = "headstart"
READY = "READY"
EXTENSIONS = (
    "classification",
    "model_repository",
    "model_configuration",
    "binary_tensor_data",
    "statistics",
)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or an output of a model: N rows of `dims` each."""

    name: str
    datatype: Datatype
    dims: tuple[int, ...]
    format: str | None = None

    def metadata(self) -> dict[str, Any]:
        """Returns it as the metadata of a model have it."""
        return {"name": self.name, "datatype": self.datatype, "shape": [-1, *self.dims]}

    def config(self) -> dict[str, Any]:
        """Returns it as Triton's configuration has it."""
        datatype = "STRING" if self.datatype == "BYTES" else self.datatype
        formatted = {} if self.format is None else {"format": self.format}
        return {"name": self.name, "data_type": f"TYPE_{datatype}", **formatted, "dims": list(self.dims)}


@dataclass(frozen=True, slots=True)
class ModelDocument:
    """A version of a model.

    Attributes:
        version: the one that answers.
        versions: all of them, the oldest first.
        title: what people call it.
        labels: of its classes, by index; None if it has none.
        servable: whether it can answer.
    """

    name: str
    version: str
    versions: Sequence[str]
    title: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    labels: Sequence[str] | None = None
    servable: bool = True

    def metadata(self) -> dict[str, Any]:
        """Returns its metadata."""
        return {
            "name": self.name,
            "versions": list(self.versions),
            "platform": PLATFORM,
            "inputs": [tensor.metadata() for tensor in self.inputs],
            "outputs": [tensor.metadata() for tensor in self.outputs],
        }

    def config(self, most_images: int) -> dict[str, Any]:
        """Returns its configuration. `parameters` hold its title, and its labels as a JSON list.

        Args:
            most_images: that one request may bring.
        """
        told = {"title": self.title} | ({} if self.labels is None else {"labels": encode(list(self.labels)).decode()})
        return {
            "name": self.name,
            "platform": PLATFORM,
            "backend": PLATFORM,
            "version_policy": {"all": {}},
            "max_batch_size": most_images,
            "input": [tensor.config() for tensor in self.inputs],
            "output": [tensor.config() for tensor in self.outputs],
            "dynamic_batching": {},
            "parameters": {name: {"string_value": value} for name, value in told.items()},
        }


def index_entry(name: str, version: str, reason: str = "") -> dict[str, str]:
    """Returns an entry of the index. A model that has a reason not to be ready is not."""
    return {"name": name, "version": version, "state": "UNAVAILABLE" if reason else READY, "reason": reason}


def statistics(model: ModelVersion, counts: Counts) -> dict[str, Any]:
    """Returns the statistics of a version of a model.

    A batch is of several models, and of other interfaces too. So each request counts as an execution of its own, the wait for a
    batch is part of `compute_infer`, and nothing is told of batches.
    """
    spent = counts.nanoseconds or {}

    def duration(stage: str) -> dict[str, int]:
        return {"count": counts.requests, "ns": spent.get(stage, 0)}

    none = {"count": 0, "ns": 0}
    return {
        "name": model.model,
        "version": model.version,
        "last_inference": counts.last,
        "inference_count": counts.images,
        "execution_count": counts.requests,
        "inference_stats": {
            "success": duration("total"),
            "fail": {"count": counts.failures, "ns": 0},
            "queue": none,
            "compute_input": duration("decode"),
            "compute_infer": duration("embed"),
            "compute_output": duration("head"),
            "cache_hit": none,
            "cache_miss": none,
        },
        "batch_stats": [],
    }
