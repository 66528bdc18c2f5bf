"""Are predictions for clients of other services and for agents as fast as native ones? Each beside the native call of its form,
in turns.

    python -m benchmarks.doors --json doors.json

A server has a task of 25 sample images. The other sample images are queries, one a request.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.server_process import ServerProcess
from benchmarks.serving.load import LoadGenerator, post, post_form, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, sample_images, support_set
from benchmarks.shared.turns import Contestant, race
from models.bundle import PAPER_BUNDLE
from models.processor import available_cores

_ACCEPTED = "application/json, text/event-stream"  # as the Model Context Protocol wants it said
_VERSION = "2026-07-28"
_PREDICTS = (b'"probability"', b'"score"')  # Every form of an answer has one of them.

# Each form of a native request, and then the same image in the same form for the clients of another service.
_BESIDE = {
    "Hugging Face, raw": "native, raw",
    "Hugging Face, JSON": "native, JSON",
    "Custom Vision, raw": "native, raw",
    "Custom Vision, form": "native, form",
    "MCP of 2026": "native, JSON",
    "MCP of 2025": "native, JSON",
}


def main() -> None:
    parser = benchmark_parser("doors", __doc__, rounds=9, seconds=1.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8], help="requests under way at once (default 1 8)")
    parser.add_argument("--bundle", default=PAPER_BUNDLE, help="that embeds the images (default %(default)s)")
    arguments = parser.parse_args()
    figures = {}
    with (
        TemporaryDirectory() as folder,
        ServerProcess(Path(folder) / "data", bundle=arguments.bundle) as server,
        LoadGenerator(server.url) as load,
    ):
        with httpx.Client(base_url=server.url, timeout=60) as api:
            requests = _requests(create_task(api, support_set()), sample_images())
        _check(load, requests)
        print(f"{arguments.bundle}, {available_cores()} cores")
        for connections in arguments.connections:
            figures[connections] = _compare(load, requests, connections, arguments.rounds, arguments.seconds)
    write_json(arguments.json, figures)


def _check(load: LoadGenerator, requests: Mapping[str, Sequence[bytes]]) -> None:
    """Ends the benchmark unless each form is answered with predictions: a tool that refuses is answered with 200 as well."""
    for name, each in requests.items():
        (reply,) = load.open(each, connections=1, rate=1.0, seconds=1.0, keep_bodies=True).replies
        if b'"error"' in reply.body or not any(word in reply.body for word in _PREDICTS):
            raise SystemExit(f"{name} is not answered: {reply.body.decode()}")


def _compare(
    load: LoadGenerator, requests: dict[str, list[bytes]], connections: int, rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    rates = race({name: _asking(load, each, connections) for name, each in requests.items()}, rounds, seconds)
    print(f"{f'{connections} at a time: images per second':<38}{'':>8}  beside the native call, by round")
    figures = {}
    for name in requests:
        native = _BESIDE.get(name, name)
        ratio = rates.ratio(name, native)
        print(f"{name:<38}{rates.median(name):>8.0f}" + (f"  {ratio}" if name != native else ""), flush=True)
        figures[name] = {"rate": rates.median(name), "ratio": ratio.median, "least": ratio.least, "most": ratio.most}
    return figures


def _asking(load: LoadGenerator, requests: Sequence[bytes], connections: int) -> Contestant:
    def run(count: int) -> int:
        sent = max(connections, count)
        if (answered := load.closed(requests, connections, sent).count(200)) != sent:
            raise SystemExit(f"{sent - answered} of {sent} requests failed")
        return sent

    return run


def _requests(task: str, images: Sequence[bytes]) -> dict[str, list[bytes]]:
    """Whole requests by kind, each native one right before those that are held against it."""
    predict, pipeline = f"{task}/predict", f"{task}/hf"
    number = task.rpartition("/")[2]
    vision = f"/customvision/v3.1/prediction/{number}/classify/iterations/production/image"
    texts = [base64.b64encode(image).decode() for image in images]
    return {
        "native, raw": post_images(predict, images),
        "Hugging Face, raw": post_images(pipeline, images),
        "Custom Vision, raw": post_images(vision, images),
        "native, JSON": [post(predict, json.dumps({"images": [text]}).encode(), "application/json") for text in texts],
        "Hugging Face, JSON": [post(pipeline, json.dumps({"inputs": text}).encode(), "application/json") for text in texts],
        "MCP of 2026": [_call_of_2026(number, text) for text in texts],
        "MCP of 2025": [_call_of_2025(number, text) for text in texts],
        "native, form": [post_form(predict, [("images", image)]) for image in images],
        "Custom Vision, form": [post_form(vision, [("imageData", image)]) for image in images],
    }


def _call_of_2026(task: str, image: str) -> bytes:
    """A call of the tool `classify` as clients send it that need no session, of the protocol's version 2026-07-28."""
    client = {"protocolVersion": _VERSION, "clientInfo": {"name": "doors", "version": "1"}, "clientCapabilities": {}}
    told = {f"io.modelcontextprotocol/{name}": value for name, value in client.items()}
    headers = {"MCP_Protocol_Version": _VERSION, "Mcp_Method": "tools/call", "Mcp_Name": "classify"}
    return _call(task, image, {"_meta": told}, headers)


def _call_of_2025(task: str, image: str) -> bytes:
    """A call of the same tool by an older client. The server keeps no session, so that nothing precedes it."""
    return _call(task, image, {}, {})


def _call(task: str, image: str, told: dict[str, Any], headers: dict[str, str]) -> bytes:
    call = {"name": "classify", "arguments": {"task": task, "images": [{"base64": image}]}, **told}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    return post("/mcp", json.dumps(message).encode(), "application/json", Accept=_ACCEPTED, **headers)


if __name__ == "__main__":
    main()
