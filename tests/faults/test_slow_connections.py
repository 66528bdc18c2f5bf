"""Connections that send nothing, or drop by drop, or do not read; and more of them than a server can have."""

import resource
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.helpers.images import encode, noise
from tests.helpers.raw_http import code_of, statuses
from tests.helpers.samples import Labelled
from tests.helpers.servers import RealServer
from tests.helpers.uploads import create, multipart

pytestmark = pytest.mark.slow

_SECOND = ("--header-timeout", "1", "--body-timeout", "1", "--body-rate", "2000", "--keep-alive", "1")
_MOST = 20
_LARGE = 400_000
_GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
_NOWHERE = b"POST /v1/nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server that waits for a second for everything."""
    limits = ("--max-connections", str(_MOST), "--max-body-bytes", str(_LARGE))
    with RealServer(tmp_path_factory.mktemp("hasty") / "data", *_SECOND, *limits) as process:
        yield process
        assert process.stop() == 0
        assert '"exception"' not in process.log()


def connect(process: RealServer, buffer: int | None = None) -> socket.socket:
    parts = urlsplit(process.url)
    connection = socket.socket()
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(10)
    connection.connect((parts.hostname, parts.port))
    return connection


def head_of_upload(length: int) -> bytes:
    return (
        b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: %d\r\n\r\n--b\r\nContent-Disposition: form-data; name=images; filename=a\r\n\r\n" % length
    )


def until_it_ends(connection: socket.socket, drop: bytes = b"", every: float = 0.1) -> tuple[bytes, float]:
    """What is answered until the server ends the connection, and the seconds that it took. Meanwhile drops are sent."""
    started, answer = time.monotonic(), b""
    while (seconds := time.monotonic() - started) < 10:
        if select.select([connection], [], [], every)[0]:
            try:
                piece = connection.recv(65_536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return answer, seconds
            answer += piece
        elif drop:
            try:
                connection.sendall(drop)
            except (BrokenPipeError, ConnectionResetError):
                return answer, seconds
    pytest.fail("the server never ended the connection")


@pytest.mark.parametrize(
    ("first", "drop", "status"),
    [
        (b"", b"", None),
        (b"", b"\r\n", None),
        (b"GET /healthz HTTP/1.1\r\nHost: local", b"", 408),
        (b"G", b"E", 400),
        (b"GET /", b"a", 408),
        (b"GET / HTTP/1.1\r\nX: ", b"a", 408),
        (_GET, b"", 200),
        (_GET + b"GET", b"", 408),
        (head_of_upload(1_000), b"", 408),
        (head_of_upload(100_000), b"a", 408),
        (_NOWHERE, b"a" * 50, 404),
    ],
    ids=[
        "silent",
        "empty lines",
        "half a head",
        "no method",
        "URL by drops",
        "header by drops",
        "idle",
        "half a second head",
        "half a body",
        "body by drops",
        "body by drops after its answer",
    ],
)
def test_slow_clients_are_left(hasty: RealServer, first: bytes, drop: bytes, status: int | None) -> None:
    with connect(hasty) as connection:
        connection.sendall(first)
        answer, seconds = until_it_ends(connection, drop)
    assert statuses(answer)[-1:] == ([status] if status else [])
    assert seconds < 4
    if status == 408:
        assert code_of(answer[answer.rindex(b"HTTP/1.1") :]) == ("header_timeout" if b"POST" not in first else "body_timeout")


def test_a_body_that_keeps_to_the_rate_is_read_to_its_end(hasty: RealServer) -> None:
    with connect(hasty) as connection:
        start = head_of_upload(12_000)  # as a length of as many digits is written
        connection.sendall(head_of_upload(12_000 + len(start.partition(b"\r\n\r\n")[2])))
        for _ in range(40):
            connection.sendall(b"a" * 300)
            time.sleep(0.1)
        assert statuses(connection.recv(65_536)) == [422]


def test_who_does_not_read_the_answer_is_left(hasty: RealServer, support: Labelled) -> None:
    """One that reads slowly, but reads, gets all of it."""
    large = encode(noise(300, 300))
    with httpx.Client(base_url=hasty.url, timeout=30) as api:
        task = create(api, [("a", large), ("b", support[0][1])])["id"]
        example = api.get(f"/v1/tasks/{task}/examples").json()["examples"][0]["id"]
    request = f"GET /v1/tasks/{task}/examples/{example}/image HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with connect(hasty, buffer=4_096) as deaf, connect(hasty, buffer=4_096) as slow:
        deaf.sendall(request * 20)
        slow.sendall(request)
        answer = b""
        while len(answer) < len(large):
            answer += slow.recv(8_192)
            time.sleep(0.05)
        assert large in answer
        unread, _ = until_it_ends(deaf)
        assert unread.count(large) < 20


def test_an_idle_connection_stays_longer_than_a_few_seconds(server: RealServer) -> None:
    """It was five; httpx drops one after as many."""
    with httpx.Client(base_url=server.url, limits=httpx.Limits(max_connections=1, keepalive_expiry=60)) as api:
        first = api.get("/healthz").extensions["network_stream"].get_extra_info("client_addr")
        time.sleep(6)
        assert api.get("/healthz").extensions["network_stream"].get_extra_info("client_addr") == first


def test_those_that_hold_all_bodies_give_them_back(hasty: RealServer, support: Labelled) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(connect(hasty))
            connection.sendall(head_of_upload(_LARGE) + bytes(_LARGE - 2_000))
        time.sleep(3)
        response = httpx.post(f"{hasty.url}/v1/tasks", **multipart([(label, image) for label, image in support]))
        assert response.status_code == 201, response.text


def test_new_connections_take_the_place_of_idle_ones(hasty: RealServer) -> None:
    before = hasty.log().count("--max-connections")
    with ExitStack() as stack:
        for _ in range(3):
            for _ in range(_MOST):
                stack.enter_context(connect(hasty))
            assert httpx.get(f"{hasty.url}/healthz").status_code == 200
    assert hasty.log().count("--max-connections") == before + 1


def test_where_none_is_idle_a_new_one_is_refused(hasty: RealServer) -> None:
    with ExitStack() as stack:
        for _ in range(_MOST):
            connection = stack.enter_context(connect(hasty))
            connection.sendall(head_of_upload(1_000))
        time.sleep(0.3)
        refused, _ = until_it_ends(stack.enter_context(connect(hasty)))
        assert (statuses(refused), code_of(refused)) == ([503], "overloaded")
        assert b"retry-after" in refused
        time.sleep(2.5)
        assert httpx.get(f"{hasty.url}/healthz").status_code == 200


def test_near_the_limit_of_open_files_everybody_is_served(tmp_path: Path, support: Labelled) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        process = RealServer(tmp_path / "data")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with process, httpx.Client(base_url=process.url, timeout=30) as kept, ExitStack() as stack:
        for _ in range(3):
            for _ in range(300):
                stack.enter_context(connect(process))
            assert kept.get("/healthz").status_code == 200
            assert httpx.get(f"{process.url}/readyz").status_code == 200
            create(kept, support)
        log = process.log()
    assert log.count("connections are open") == 1
    assert "Traceback" not in log
