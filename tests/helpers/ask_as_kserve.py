"""Asks a server by KServe's client for REST, and prints what it heard as JSON. Run in an environment that has the client:

python ask_as_kserve.py http://localhost:8000 TASK IMAGE…
"""

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def main(url: str, task: str, *paths: str) -> None:
    """Asks everything that the client can ask of this server."""
    images = [Path(path).read_bytes() for path in paths]
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    heard: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "models ready": [await client.is_model_ready(url, name) for name in (task, "none")],
    }
    query = InferInput("IMAGE", [len(images), 1], "BYTES")
    query.set_data_from_numpy(np.array([[image] for image in images], np.object_))
    answer = await client.infer(url, InferRequest(task, [query], request_id="5"), model_name=task)
    heard["id"], heard["model"] = answer.id, answer.model_name
    heard["probabilities"] = answer.outputs[0].data

    binary = InferRequest(
        task, [query], request_outputs=[RequestedOutput("PROBABILITY", {"binary_data": True}), RequestedOutput("LABEL")]
    )
    probabilities, labels = (await client.infer(url, binary, model_name=task)).outputs
    heard["binary"], heard["labels"] = probabilities.data, labels.data

    texts = [base64.b64encode(image).decode() for image in images]
    plain = InferInput("IMAGE", [len(images)], "BYTES", texts, {"content_type": "base64"})
    heard["as JSON"] = (await client.infer(url, InferRequest(task, [plain]), model_name=task)).outputs[0].data
    try:
        await client.infer(url, InferRequest("none", [query]), model_name="none")
    except httpx.HTTPStatusError as error:
        heard["unknown"] = str(error)
    print(json.dumps(heard))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
