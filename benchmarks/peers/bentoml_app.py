"""BentoML with its adaptive batching, and a worker per core."""

from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType

from benchmarks.peers.classifier import Classifier


@bentoml.service(workers="cpu_count", traffic={"timeout": 60}, metrics={"enabled": False})
class Service:
    def __init__(self) -> None:
        self.classifier = Classifier(threads=1)

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)  # type: ignore[untyped-decorator]
    def predict(self, images: list[Annotated[Path, ContentType("image/png")]]) -> list[dict[str, Any]]:
        return self.classifier.predict([self.classifier.decode(image.read_bytes()) for image in images])
