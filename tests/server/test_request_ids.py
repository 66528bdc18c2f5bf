"""Every log line of a request bears its id, whichever thread writes it."""

import asyncio
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models.engine import MAX_BATCH, EngineKind
from models.heads.head import BackboneRef, EmbeddingSpace, Float32
from models.images.preprocess import Pixels
from server.context import request_id
from server.engine.batcher import Batcher
from server.errors import EngineFailed
from server.metrics import Metrics
from tests.helpers.databases import lose_database
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, multipart

REQUESTS = 6


def lines_of(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]


@pytest.mark.sqlite("each call says so: a PostgreSQL server that is away is told of once")
def test_lines_of_the_stores_threads_bear_the_id_of_their_request(
    tmp_path: Path, small_flags: tuple[str, ...], support: Labelled
) -> None:
    """The database goes under a server that runs: then each call of the store says so in the log, beside the access log."""
    with ServerProcess(tmp_path / "data", *small_flags, "--log-format", "json") as process:
        with httpx.Client(base_url=process.url, timeout=60) as api:
            create(api, support)
            while "POST /v1/tasks 201" not in process.log():  # It is written after the answer.
                time.sleep(0.01)
            before = len(process.log())
            lose_database(tmp_path / "data")

            def ask(number: int) -> int:
                headers = {"X-Request-ID": f"mine-{number}"}
                if number % 2:
                    return api.get("/v1/tasks", headers=headers).status_code
                return api.post("/v1/tasks", headers=headers, **multipart(support)).status_code

            with ThreadPoolExecutor(REQUESTS) as pool:
                assert set(pool.map(ask, range(REQUESTS))) == {503}
        process.kill()
        told = lines_of(process.log()[before:])
    of_request = {
        f"mine-{number}": [line for line in told if line["request_id"] == f"mine-{number}"] for number in range(REQUESTS)
    }
    for lines in of_request.values():
        assert {line["logger"] for line in lines[:-1]} == {"server.store.sqlite_database"}
        assert lines[-1]["logger"] == "server.access"
    assert sum(map(len, of_request.values())) == len(told)


class BrokenEngine:
    """Fails on every batch."""

    kind: EngineKind = "onnx"
    parallel = 1
    device = None
    max_batch = MAX_BATCH

    def __init__(self) -> None:
        self.space = EmbeddingSpace(BackboneRef("fake@1", "0" * 64), np.zeros(2, dtype=np.float32))

    def embed(self, pixels: Pixels) -> Float32:
        raise ValueError(f"{len(pixels)} images")


def test_lines_of_the_engines_thread_bear_the_ids_of_the_requests_in_the_batch() -> None:
    seen: list[tuple[str, str]] = []

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((request_id.get(), record.getMessage()))

    async def ask(batcher: Batcher, id_: str) -> None:
        request_id.set(id_)
        with pytest.raises(EngineFailed):
            await batcher.embed(np.zeros((1, 1, 1, 3), np.uint8))

    async def ask_all() -> None:
        batcher = Batcher(BrokenEngine(), lambda _embeddings, _asked: [], 10, "fake@1", Metrics())
        await asyncio.gather(*(asyncio.create_task(ask(batcher, id_)) for id_ in ("one", "two", "three")))
        await asyncio.to_thread(batcher.close)

    watch = Watch()
    logging.getLogger("server.engine.batcher").addHandler(watch)
    try:
        asyncio.run(ask_all())
    finally:
        logging.getLogger("server.engine.batcher").removeHandler(watch)
    assert sorted(id_ for id_, _ in seen) == ["one", "three", "two"]
    assert all("images failed: ValueError(" in message for _, message in seen)
