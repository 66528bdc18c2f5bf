"""A client of the Open Inference Protocol over gRPC: grpcio's own channel, and the messages of `server/grpc/inference.proto`.

`tests/server/test_open_inference_clients.py` holds those messages against the ones of tritonclient.
"""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from numpy.typing import NDArray

from server.grpc.messages import SERVICE, read_messages
from tests.helpers.open_inference import packed, unpacked

MESSAGES = read_messages()
_SECONDS = 60.0
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
_TYPES = {"FP32": "<f4", "BOOL": "?"}


class Caller:
    """A channel to a server on this machine, with a connection of its own.

    Args:
        key: sent with each call, if there is one.
        certificate: of a server with TLS, in PEM.
    """

    def __init__(self, port: int, key: str | None = None, certificate: bytes | None = None) -> None:
        address = f"localhost:{port}"
        if certificate is None:
            self.channel = grpc.insecure_channel(address, _OPTIONS)
        else:
            self.channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate), _OPTIONS)
        self._metadata = () if key is None else (("authorization", f"Bearer {key}"),)
        self.trailing: dict[str, str] = {}

    def __call__(self, name: str, message: Any = None, /, **fields: Any) -> Any:
        """The response to a message, or to one of these fields. Its metadata are kept in `trailing`."""
        messages = MESSAGES[name]
        return messages.response.FromString(self.raw(name, (message or messages.request(**fields)).SerializeToString()))

    def raw(
        self,
        name: str,
        data: bytes,
        metadata: Sequence[tuple[str, str]] = (),
        compression: Any = None,
        seconds: float = _SECONDS,
        waits: bool = True,
    ) -> bytes:
        """The response to any bytes, as bytes.

        Args:
            waits: whether it waits for a server that is not there.
        """
        ask = self.channel.unary_unary(f"/{SERVICE}/{name}")
        sent = (*self._metadata, *metadata)
        response, call = ask.with_call(data, timeout=seconds, metadata=sent, compression=compression, wait_for_ready=waits)
        self.trailing = dict(call.trailing_metadata())
        found: bytes = response
        return found

    def streamed(self, name: str, messages: Iterable[bytes]) -> bytes:
        """The response to a stream of messages, which none of the service's calls takes by its description."""
        found: bytes = self.channel.stream_unary(f"/{SERVICE}/{name}")(iter(messages), timeout=_SECONDS, metadata=self._metadata)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self.channel.close()


def infer_request(
    model: str,
    images: Sequence[bytes] | NDArray[np.uint8],
    outputs: Sequence[str | tuple[str, int]] = (),
    *,
    typed: bool = False,
    **fields: Any,
) -> Any:
    """A ModelInferRequest.

    Args:
        images: files, or pixels of shape (N, H, W, 3).
        outputs: names, each perhaps with a number of classes.
        typed: whether tensors stand in the contents of their type; else they are raw.
    """
    pixels = isinstance(images, np.ndarray)
    message = MESSAGES["ModelInfer"].request(model_name=model, **fields)
    tensor = message.inputs.add(
        name="PIXELS" if pixels else "IMAGE",
        datatype="UINT8" if pixels else "BYTES",
        shape=images.shape if isinstance(images, np.ndarray) else (len(images), 1),
    )
    if isinstance(images, np.ndarray):
        if typed:
            tensor.contents.uint_contents.extend(images.ravel().tolist())
        else:
            message.raw_input_contents.append(images.tobytes())
    elif typed:
        tensor.contents.bytes_contents.extend(images)
    else:
        message.raw_input_contents.append(packed(images))
    for output in outputs:
        name, classes = (output, 0) if isinstance(output, str) else output
        asked = message.outputs.add(name=name)
        if classes:
            asked.parameters["classification"].int64_param = classes
    return message


def tensors(response: Any) -> dict[str, NDArray[Any]]:
    """The tensors of a ModelInferResponse in their shapes; texts are bytes objects."""
    found = {}
    for index, output in enumerate(response.outputs):
        if response.raw_output_contents:
            assert not output.HasField("contents")
            raw = response.raw_output_contents[index]
            values = unpacked(raw) if output.datatype == "BYTES" else np.frombuffer(raw, _TYPES[output.datatype])
        elif output.datatype == "BYTES":
            values = np.array(output.contents.bytes_contents, object)
        else:
            contents = output.contents.fp32_contents if output.datatype == "FP32" else output.contents.bool_contents
            values = np.array(contents, _TYPES[output.datatype])
        found[output.name] = values.reshape(output.shape)
    assert len(response.raw_output_contents) in {0, len(response.outputs)}
    return found
