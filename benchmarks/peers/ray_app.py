"""Ray Serve with its dynamic batching, and a replica per core."""

import asyncio
import signal
import sys
from typing import Any

from ray import serve
from starlette.requests import Request

from benchmarks.peers.classifier import Classifier
from models.processor import available_cores

CORES = available_cores()


@serve.deployment(num_replicas=CORES, max_ongoing_requests=128, ray_actor_options={"num_cpus": 0.5})
class Deployment:
    def __init__(self) -> None:
        self.classifier = Classifier(threads=1)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.005)  # type: ignore[untyped-decorator]
    async def predict(self, images: list[bytes]) -> list[dict[str, Any]]:
        return await asyncio.to_thread(lambda: self.classifier.predict([self.classifier.decode(image) for image in images]))

    async def __call__(self, request: Request) -> dict[str, Any]:
        prediction: dict[str, Any] = await self.predict(await request.body())
        return prediction


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())  # so that Ray ends its other processes
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Deployment.bind(), route_prefix="/predict", blocking=True)  # type: ignore[attr-defined]
