"""Asks a server by KServe's clients for REST and for gRPC, and prints what it heard as JSON. Run in an environment that has them:

python ask_as_kserve.py http://localhost:8000 localhost:8001 TASK IMAGE…
"""

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def query(images: list[bytes]) -> InferInput:
    """The input of images."""
    tensor = InferInput("IMAGE", [len(images), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[image] for image in images], np.object_))
    return tensor


async def by_rest(url: str, task: str, images: list[bytes]) -> dict[str, Any]:
    """What the client for REST can ask of this server."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    heard: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "models ready": [await client.is_model_ready(url, name) for name in (task, "none")],
    }
    answer = await client.infer(url, InferRequest(task, [query(images)], request_id="5"), model_name=task)
    heard["id"], heard["model"] = answer.id, answer.model_name
    heard["probabilities"] = answer.outputs[0].data

    binary = InferRequest(
        task, [query(images)], request_outputs=[RequestedOutput("PROBABILITY", {"binary_data": True}), RequestedOutput("LABEL")]
    )
    probabilities, labels = (await client.infer(url, binary, model_name=task)).outputs
    heard["binary"], heard["labels"] = probabilities.data, labels.data

    texts = [base64.b64encode(image).decode() for image in images]
    plain = InferInput("IMAGE", [len(images)], "BYTES", texts, {"content_type": "base64"})
    heard["as JSON"] = (await client.infer(url, InferRequest(task, [plain]), model_name=task)).outputs[0].data
    try:
        await client.infer(url, InferRequest("none", [query(images)]), model_name="none")
    except httpx.HTTPStatusError as error:
        heard["unknown"] = str(error)
    return heard


async def by_grpc(address: str, task: str, images: list[bytes]) -> dict[str, Any]:
    """What the client for gRPC can ask of this server."""
    async with InferenceGRPCClient(address) as client:
        heard: dict[str, Any] = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "models ready": [await client.is_model_ready(name) for name in (task, "none")],
        }
        typed = InferInput("IMAGE", [len(images), 1], "BYTES", images)
        for way, tensor in (("probabilities", query(images)), ("typed", typed)):
            answer = await client.infer(InferRequest(task, [tensor], request_id="5"))
            heard["id"], heard["model"] = answer.id, answer.model_name
            heard[way] = answer.outputs[0].as_numpy().ravel().tolist()
        named = InferRequest(task, [query(images)], request_outputs=[RequestedOutput("LABEL")])
        labels = (await client.infer(named)).outputs[0].as_numpy().ravel().tolist()
        heard["labels"] = [label.decode() if isinstance(label, bytes) else label for label in labels]
        try:
            await client.infer(InferRequest("none", [query(images)]))
        except grpc.RpcError as error:
            heard["unknown"] = str(error)
    return heard


async def main(url: str, address: str, task: str, *paths: str) -> None:
    """Asks everything that the clients can ask of this server."""
    images = [Path(path).read_bytes() for path in paths]
    print(json.dumps({"REST": await by_rest(url, task, images), "gRPC": await by_grpc(address, task, images)}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
