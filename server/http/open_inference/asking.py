"""Requests for inference: from a body to the images of a journey, and from its result to the body of the answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from fastapi import Request
from fastapi.responses import Response
from numpy.typing import NDArray

from models.answers.verdicts import ranked, verdict_of
from server.errors import InvalidRequest, LimitExceeded
from server.http.bodies.content import read_bytes
from server.http.open_inference.models import EMBEDDING, KNOWN, LABEL, NOVELTY, PROBABILITY, ModelName, is_natural
from server.http.open_inference.tensors import (
    InferRequest,
    InputTensor,
    OutputTensor,
    RequestedOutput,
    raw_request,
    read_request,
    write_answer,
)
from server.journeys.classify import Classified
from server.journeys.infer import Images
from server.service import Service

_JSON_LENGTH = "Inference-Header-Content-Length"
_LARGE = 262_144  # bytes that take the event loop longer to read than to hand to a thread
_MANY_VALUES = 16_384  # likewise, values of an answer


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A request for inference that fits its model.

    Attributes:
        outputs: in the order of the answer, at least one.
    """

    id: str | None
    images: Images
    outputs: Sequence[RequestedOutput]

    @property
    def judges(self) -> bool:
        """True if the answer says which images are strangers."""
        return any(output.name in {KNOWN, NOVELTY} for output in self.outputs)


async def read_asked(request: Request, service: Service, model: ModelName) -> Asked:
    """Returns a request for inference.

    Raises:
        InvalidRequest, LimitExceeded: it is none, it does not fit its model, or it brings too many images.
        HeadstartError: the body breaks a limit.
        ClientDisconnect: the client left before its end.
    """
    given = request.headers.get(_JSON_LENGTH)
    if given is not None and not is_natural(given):
        raise InvalidRequest(f"{_JSON_LENGTH} is the number of bytes of the JSON, not {given[:100]!r}")
    body = await read_bytes(request)
    length, most = None if given is None else int(given), service.settings.max_images
    if len(body) > _LARGE:
        return await service.pools.in_thread(_asked, body, length, model, most)
    return _asked(body, length, model, most)


def _asked(body: bytes, length: int | None, model: ModelName, most: int) -> Asked:
    spec = model.input
    read = raw_request(body, spec.name, spec.datatype) if length == 0 else read_request(body, length)
    (tensor, *more) = read.inputs
    if more or (tensor.name, tensor.datatype) != (spec.name, spec.datatype):
        raise InvalidRequest(f"model {model.text!r} has one input, {spec.name!r} of type {spec.datatype}")
    images = _images(tensor, most) if spec.datatype == "BYTES" else tensor.values()
    return Asked(read.id, images, _outputs(read, model))


def _images(tensor: InputTensor, most: int) -> list[bytes]:
    if len(tensor.shape) not in {1, 2} or tensor.shape[1:] not in {(), (1,)}:
        raise InvalidRequest(f"input {tensor.name!r} has shape [-1, 1], and not {list(tensor.shape)}")
    if tensor.size > most:
        raise LimitExceeded("images in this request", tensor.size, most)
    if tensor.binary is None and not tensor.base64:
        raise InvalidRequest(
            "JSON cannot hold the bytes of an image: send binary data, or base64 with content_type: base64 in the parameters of "
            f"input {tensor.name!r}"
        )
    return tensor.elements()


def _outputs(read: InferRequest, model: ModelName) -> Sequence[RequestedOutput]:
    names = [output.name for output in read.outputs]
    if unknown := [name for name in names if name not in model.outputs]:
        raise InvalidRequest(f"model {model.text!r} has no output {unknown[0][:100]!r}; it has {', '.join(model.outputs)}")
    if len({*names}) < len(names):
        raise InvalidRequest("an output is named twice")
    return read.outputs or (RequestedOutput(model.default_output, read.binary),)


def classified_tensor(name: str, labels: Sequence[str], classified: Classified) -> OutputTensor:
    """Returns an output of a task, of N images.

    Args:
        labels: K, of the task's head.
        classified: where novelty is asked for, with the verdicts on strangers.
    """
    probabilities = classified.probabilities
    if name == PROBABILITY:
        return OutputTensor(name, "FP32", probabilities, labels)
    if name == LABEL:
        first, _ = ranked(probabilities, 1)
        return OutputTensor(name, "BYTES", [[labels[k]] for (k,) in first.tolist()])
    assert classified.novelty is not None
    verdicts = [verdict_of(novelty) for novelty in classified.novelty.tolist()]
    if name == KNOWN:
        return OutputTensor(name, "BOOL", np.array([[known] for known, _ in verdicts]))
    return OutputTensor(name, "FP32", np.array([[told] for _, told in verdicts]))


def embedding_tensor(embeddings: NDArray[np.float32]) -> OutputTensor:
    """Returns the output of a bundle, (N, D)."""
    return OutputTensor(EMBEDDING, "FP32", embeddings)


async def answer(
    service: Service, asked: Asked, model: ModelName, version: str, values: int, tensor: Callable[[str], OutputTensor]
) -> Response:
    """Returns the answer to a request.

    Args:
        values: how many numbers were found.
        tensor: returns an output by its name.

    Raises:
        InvalidRequest: classes are asked for of an output that has none.
    """

    def write() -> tuple[bytes, int | None]:
        found = [(tensor(output.name), output) for output in asked.outputs]
        written = [(each.as_classes(output.classes) if output.classes else each, output.binary) for each, output in found]
        return write_answer(model.text, version, asked.id, written)

    body, length = await service.pools.in_thread(write) if values > _MANY_VALUES else write()
    if length is None:
        return Response(body, media_type="application/json")
    return Response(body, media_type="application/octet-stream", headers={_JSON_LENGTH: str(length)})
