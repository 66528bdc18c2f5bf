"""Asks a server by tritonclient, and prints what it heard as JSON. Run in an environment that has the client:

python ask_as_triton.py localhost:8000 TASK BUNDLE IMAGE…
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException


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
        answer = await client.infer(task, [query(images)], request_compression_algorithm="deflate")
        return answer.as_numpy("PROBABILITY").tolist()


def main(url: str, task: str, bundle: str, *paths: str) -> None:
    """Asks everything that the client can ask of this server."""
    images = [Path(path).read_bytes() for path in paths]
    client = triton.InferenceServerClient(url)
    embedding, pixels = f"{bundle}.embedding", f"{task}.pixels"
    heard: dict[str, Any] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "models ready": [client.is_model_ready(name) for name in (task, pixels, embedding, "none")],
        "version ready": [client.is_model_ready(task, version) for version in ("1", "9")],
        "extensions": client.get_server_metadata()["extensions"],
        "index": [entry["name"] for entry in client.get_model_repository_index() if entry["state"] == "READY"],
        "metadata": client.get_model_metadata(task, "1"),
        "config": client.get_model_config(pixels),
    }
    client.load_model(task)
    heard["unload"] = refusal(lambda: client.unload_model(task))
    heard["unknown"] = refusal(lambda: client.infer("none", [query(images)]))
    heard["broken"] = refusal(lambda: client.infer(task, [query([*images, b"no image"])]))

    alone = client.infer(task, [query(images)], request_id="17")
    heard["response"] = alone.get_response()
    heard["probabilities"] = alone.as_numpy("PROBABILITY").tolist()
    for algorithm in ("gzip", "deflate"):
        compressed = client.infer(
            task, [query(images)], request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
        )
        assert compressed.as_numpy("PROBABILITY").tolist() == heard["probabilities"]
    assert client.async_infer(task, [query(images)]).get_result().as_numpy("PROBABILITY").tolist() == heard["probabilities"]
    assert asyncio.run(aio(url, task, images)) == heard["probabilities"]

    for binary in (True, False):
        outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("LABEL", "KNOWN", "NOVELTY")]
        named = client.infer(task, [query(images)], model_version="1", outputs=outputs)
        heard[f"named, {binary}"] = [
            [each.decode() if isinstance(each, bytes) else each for (each,) in named.as_numpy("LABEL")],
            named.as_numpy("KNOWN").tolist(),
            named.as_numpy("NOVELTY").tolist(),
        ]
    classes = [triton.InferRequestedOutput("PROBABILITY", class_count=2)]
    heard["classes"] = text(client.infer(task, [query(images)], outputs=classes).as_numpy("PROBABILITY"))

    _, height, width, channels = client.get_model_metadata(pixels)["inputs"][0]["shape"]
    for binary in (True, False):
        tensor = triton.InferInput("PIXELS", [2, height, width, channels], "UINT8")
        tensor.set_data_from_numpy(np.zeros((2, height, width, channels), np.uint8), binary_data=binary)
        answer = client.infer(pixels, [tensor], outputs=[triton.InferRequestedOutput("PROBABILITY", class_count=1)])
        heard[f"pixels, {binary}"] = text(answer.as_numpy("PROBABILITY"))
    heard["embeddings"] = list(client.infer(embedding, [query(images)]).as_numpy("EMBEDDING").shape)
    heard["statistics"] = client.get_inference_statistics(task)["model_stats"][0]["inference_stats"]["success"]["count"]
    print(json.dumps(heard))


if __name__ == "__main__":
    main(*sys.argv[1:])
