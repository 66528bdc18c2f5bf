"""Requests of the Open Inference Protocol, byte by byte as two stock clients send them, and their answers as they read them.

Written after the sources of tritonclient 2.73 (`_utils.py`, `_infer_input.py` and `_infer_result.py` of its `http`) and of kserve
0.21 (`infer_type.py` of its `protocol`). `tests/server/test_open_inference_clients.py` runs the clients themselves.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

JSON_LENGTH = "Inference-Header-Content-Length"
_TYPES = {"FP32": "<f4", "BOOL": "?"}


def packed(elements: Sequence[bytes]) -> bytes:
    """Elements of type BYTES as binary data."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def triton_request(
    images: Sequence[bytes] | NDArray[np.uint8], outputs: Sequence[dict[str, Any]] = (), request_id: str = ""
) -> dict[str, Any]:
    """Keyword arguments of `httpx.Client.post` for what `InferenceServerClient.infer` sends, with binary data.

    Without outputs it asks for all of them in bytes. It names no content type.
    """
    pixels = isinstance(images, np.ndarray)
    contents = images.tobytes() if isinstance(images, np.ndarray) else packed(images)
    tensor = {
        "name": "PIXELS" if pixels else "IMAGE",
        "shape": list(images.shape) if isinstance(images, np.ndarray) else [len(images), 1],
        "datatype": "UINT8" if pixels else "BYTES",
        "parameters": {"binary_data_size": len(contents)},
    }
    body: dict[str, Any] = {"id": request_id} if request_id else {}
    body["inputs"] = [tensor]
    body |= {"outputs": list(outputs)} if outputs else {"parameters": {"binary_data_output": True}}
    head = json.dumps(body, separators=(",", ":")).encode()
    return {"content": head + contents, "headers": {JSON_LENGTH: str(len(head))}}


def requested(name: str, binary: bool = True, classes: int = 0) -> dict[str, Any]:
    """As `InferRequestedOutput` names an output."""
    return {"name": name, "parameters": {**({"classification": classes} if classes else {}), "binary_data": binary}}


@dataclass(frozen=True)
class Answer:
    """An answer, read as `InferResult` reads it."""

    head: dict[str, Any]
    tensors: dict[str, NDArray[Any]]


def answered(response: httpx.Response) -> Answer:
    """The answer of a response. Arrays have the shapes that it declares; texts are bytes objects."""
    assert response.status_code == 200, response.text
    given = response.headers.get(JSON_LENGTH)
    length = len(response.content) if given is None else int(given)
    head: dict[str, Any] = json.loads(response.content[:length])
    behind, tensors = response.content[length:], {}
    for output in head["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found = [text.encode() for text in output["data"]] if output["datatype"] == "BYTES" else output["data"]
            values = np.array(found, _TYPES.get(output["datatype"], object))
        else:
            part, behind = behind[:size], behind[size:]
            values = unpacked(part) if output["datatype"] == "BYTES" else np.frombuffer(part, _TYPES[output["datatype"]])
        tensors[output["name"]] = values.reshape(output["shape"])
    assert not behind
    return Answer(head, tensors)


def unpacked(data: bytes) -> NDArray[Any]:
    """Elements of type BYTES, from binary data."""
    found = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return np.array(found, object)
