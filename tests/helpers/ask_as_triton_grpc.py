"""Asks a server by tritonclient over gRPC, and prints what it heard as JSON. Run in an environment that has the client:

python ask_as_triton_grpc.py localhost:8001 TASK BUNDLE COMPILED IMAGE…

COMPILED are our messages, `server/grpc/inference.binpb`, which are held against those of the client.
"""

import asyncio
import json
import queue
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException


def differences(compiled: str) -> list[str]:
    """The fields and values of our messages that the client has otherwise, or not at all."""
    (ours,) = FileDescriptorSet.FromString(Path(compiled).read_bytes()).file
    theirs = {
        name: message
        for module in (model_config_pb2, service_pb2)
        for name, message in module.DESCRIPTOR.message_types_by_name.items()
    }
    values = dict(model_config_pb2.DataType.items())
    wrong = [value.name for enum in ours.enum_type for value in enum.value if values.get(value.name) != value.number]
    return wrong + list(_differences(ours.message_type, theirs))


def _differences(ours: Iterable[DescriptorProto], theirs: Mapping[str, Any]) -> Iterable[str]:
    for message in ours:
        if message.options.map_entry:
            continue
        if message.name not in theirs:
            yield message.name
            continue
        fields = theirs[message.name].fields_by_name
        for field in message.field:
            known = fields.get(field.name)
            if known is None or (known.number, known.type) != (field.number, field.type):
                yield f"{message.name}.{field.name}"
        yield from _differences(message.nested_type, theirs[message.name].nested_types_by_name)


def query(images: list[bytes]) -> triton.InferInput:
    """The input of images."""
    tensor = triton.InferInput("IMAGE", [len(images), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[image] for image in images], np.object_))
    return tensor


def text(values: Any) -> list[list[str]]:
    """Texts of a tensor of type BYTES."""
    return [[each.decode() for each in row] for row in values]


def refusal(ask: Any) -> tuple[str, str]:
    """Status and message of a refusal."""
    try:
        ask()
    except InferenceServerException as error:
        return error.status(), error.message()
    raise AssertionError("nothing was refused")


async def aio(url: str, task: str, images: list[bytes]) -> Any:
    """The probabilities that the client for asyncio hears."""
    async with triton_aio.InferenceServerClient(url) as client:
        assert await client.is_server_ready()
        answer = await client.infer(task, [query(images)], compression_algorithm="deflate")
        return answer.as_numpy("PROBABILITY").tolist()


def main(url: str, task: str, bundle: str, compiled: str, *paths: str) -> None:
    """Asks everything that the client can ask of this server."""
    images = [Path(path).read_bytes() for path in paths]
    client = triton.InferenceServerClient(url)
    embedding, pixels = f"{bundle}.embedding", f"{task}.pixels"
    heard: dict[str, Any] = {
        "differences": differences(compiled),
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "models ready": [client.is_model_ready(name) for name in (task, pixels, embedding, "none")],
        "version ready": [client.is_model_ready(task, version) for version in ("1", "9")],
        "extensions": list(client.get_server_metadata().extensions),
        "index": [entry.name for entry in client.get_model_repository_index().models if entry.state == "READY"],
        "metadata": client.get_model_metadata(task, "1", as_json=True),
        "config": client.get_model_config(pixels, as_json=True)["config"],
    }
    client.load_model(task)
    heard["unload"] = refusal(lambda: client.unload_model(task))
    heard["unknown"] = refusal(lambda: client.infer("none", [query(images)]))
    heard["broken"] = refusal(lambda: client.infer(task, [query([*images, b"no image"])]))

    alone = client.infer(task, [query(images)], request_id="17")
    heard["response"] = alone.get_response().id
    heard["probabilities"] = alone.as_numpy("PROBABILITY").tolist()
    for algorithm in ("gzip", "deflate"):
        compressed = client.infer(task, [query(images)], compression_algorithm=algorithm)
        assert compressed.as_numpy("PROBABILITY").tolist() == heard["probabilities"]
    answers: queue.Queue[Any] = queue.Queue()
    client.async_infer(task, [query(images)], lambda result, error: answers.put((result, error)))
    result, error = answers.get(timeout=60)
    assert error is None
    assert result.as_numpy("PROBABILITY").tolist() == heard["probabilities"]
    assert asyncio.run(aio(url, task, images)) == heard["probabilities"]

    outputs = [triton.InferRequestedOutput(name) for name in ("LABEL", "KNOWN", "NOVELTY")]
    named = client.infer(task, [query(images)], model_version="1", outputs=outputs)
    heard["named"] = [text(named.as_numpy("LABEL")), named.as_numpy("KNOWN").tolist(), named.as_numpy("NOVELTY").tolist()]
    classes = [triton.InferRequestedOutput("PROBABILITY", class_count=2)]
    heard["classes"] = text(client.infer(task, [query(images)], outputs=classes).as_numpy("PROBABILITY"))

    _, height, width, channels = client.get_model_metadata(pixels).inputs[0].shape
    tensor = triton.InferInput("PIXELS", [2, height, width, channels], "UINT8")
    tensor.set_data_from_numpy(np.zeros((2, height, width, channels), np.uint8))
    heard["pixels"] = list(client.infer(pixels, [tensor]).as_numpy("PROBABILITY").shape)
    heard["embeddings"] = list(client.infer(embedding, [query(images)]).as_numpy("EMBEDDING").shape)
    heard["statistics"] = client.get_inference_statistics(task).model_stats[0].inference_stats.success.count
    print(json.dumps(heard))


if __name__ == "__main__":
    main(*sys.argv[1:])
