"""A server that is full, over real HTTP: it says so at once, whatever a request would have brought."""

import io
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from tests.helpers import uploads
from tests.helpers.servers import ServerProcess

ROOM = 4


@pytest.fixture
def full_server(tmp_path: Path, small_flags: tuple[str, ...], support: uploads.Labelled) -> Iterator[tuple[str, str]]:
    """The URL of a server with as many images under way as it takes, nearly all of the time; and the path of a task."""
    large = io.BytesIO()
    Image.new("RGB", (4000, 4000), "green").save(large, "PNG")  # a good while to decode, and little to send
    done = threading.Event()
    limits = ("--queue-images", str(ROOM), "--max-images", str(ROOM))
    with ServerProcess(tmp_path / "data", *small_flags, *limits) as server:
        reply = httpx.post(f"{server.url}/v1/tasks", **uploads.multipart([*support[:2], *support[-2:]])).raise_for_status()
        path = f"{reply.headers['location']}/predict"

        def fill() -> None:
            with httpx.Client(base_url=server.url, timeout=60) as api:
                while not done.is_set():
                    api.post(path, **uploads.queries([large.getvalue()] * ROOM))
                    time.sleep(0.01)  # Refused most of the time, it shall not hold a core.

        threads = [threading.Thread(target=fill) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield server.url, path
        finally:
            done.set()
            for thread in threads:
                thread.join()


def refusal(url: str, head: bytes) -> bytes:
    """What a full server replies to the head of a request whose body is never sent."""
    parts = urlsplit(url)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.settimeout(1)
            connection.sendall(head)
            reply = b""
            try:
                while not reply.endswith(b"}"):
                    reply += connection.recv(10_000)
            except TimeoutError:
                continue  # There was room just then, and the server waits for the body.
            return reply
    pytest.fail("the server was never full")


def test_a_full_server_refuses_images_before_they_are_sent_and_answers_all_else(full_server: tuple[str, str]) -> None:
    url, path = full_server
    task = path.split("/")[3]
    image = f"/customvision/v3.1/prediction/{task}/classify/iterations/1/image"
    targets = (path, path.replace("predict", "hf"), image, f"{image}/nostore")
    for target, form in (*((target, "image/png") for target in targets), ("/v1/tasks", "application/json")):
        lines = (f"POST {target} HTTP/1.1", "Host: localhost", f"Content-Type: {form}", "Content-Length: 1000000", "", "")
        head, _, body = refusal(url, "\r\n".join(lines).encode()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in head.lower() + b"\r\n"
        assert b'"code":"overloaded"' in body
    assert httpx.get(f"{url}/v1/tasks").status_code == 200
    with httpx.Client(base_url=url) as api:
        for _ in range(50):  # It is full at some of them.
            assert api.post("/v1/refreshes/refresh_1/pause").status_code == 404
            assert api.post("/v1/backbones", json={"id": "unknown@1"}).status_code == 404
    metrics = httpx.get(f"{url}/metrics").text
    assert 'headstart_errors_total{code="overloaded"}' in metrics
