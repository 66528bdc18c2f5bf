"""LitServe as its guide to throughput has it: batches, several workers on one device, the fast queue."""

import sys
from typing import Annotated, Any

import litserve
from fastapi import Body

from benchmarks.peers.classifier import Classifier
from models.images.preprocess import Pixels
from models.processor import available_cores


class Api(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:  # noqa: ARG002
        self.classifier = Classifier(threads=1)

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/png")]) -> Pixels:
        return self.classifier.decode(request)

    def batch(self, inputs: list[Pixels]) -> list[Pixels]:
        return inputs

    def predict(self, x: list[Pixels]) -> list[dict[str, Any]]:
        return self.classifier.predict(x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    cores = available_cores()
    api = Api(max_batch_size=32, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=cores, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
