"""HTTP/1.1 itself, byte by byte over a socket: what is no request, or looks like two, is answered once and does nothing else."""

import re
from itertools import pairwise

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.raw_http import code_of, exchange, statuses
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, queries

_LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_CHUNKED = (
    b"POST /v1/backbones HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_GET_UPGRADING = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
_LIMIT = 65_536


UPGRADES = {
    "anything": b"Connection: upgrade\r\nUpgrade: anything\r\n",
    "h2c, as Java's client": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n",
    "two Connection headers": b"Connection: keep-alive\r\nconnection: UPGRADE\r\nupgrade: a, b\r\n",
}


class TestUpgrade:
    """A server that does not switch answers as if it had not been asked to (RFC 9110, 7.8)."""

    @pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
    @pytest.mark.parametrize("packets", [1, 2, 3])
    @pytest.mark.parametrize("name", UPGRADES)
    def test_the_body_is_a_body(
        self, server: ServerProcess, api: httpx.Client, support: Labelled, name: str, packets: int, chunked: bool
    ) -> None:
        task = create(api, support)["id"]
        inner = b"DELETE /v1/tasks/%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % task.encode()
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner) if chunked else inner
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(inner)
        plain = b"POST /v1/backbones HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + framing + b"\r\n"
        asking = plain + UPGRADES[name] + b"\r\n"
        sent = {1: [asking + body + _LAST], 2: [asking, body + _LAST], 3: [asking, body[:20], body[20:] + _LAST]}[packets]
        replies = exchange(server.url, *sent)
        assert statuses(replies) == [422, 200]
        assert _without_ids(replies) == _without_ids(exchange(server.url, plain + b"\r\n" + body + _LAST))
        assert api.get(f"/v1/tasks/{task}").status_code == 200

    @pytest.mark.parametrize("name", UPGRADES)
    def test_a_prediction_is_answered_as_without(self, api: httpx.Client, support: Labelled, name: str) -> None:
        path = f"/v1/tasks/{create(api, support)['id']}/predict"
        lines = UPGRADES[name].decode().strip().split("\r\n")
        headers = [tuple(line.split(": ")) for line in lines]
        plain = api.post(path, **queries([support[0][1]])).json()
        asking = api.post(path, **queries([support[0][1]]), headers=headers)  # type: ignore[arg-type]
        assert asking.status_code == 200
        assert asking.json()["predictions"] == plain["predictions"]

    def test_what_follows_a_request_without_a_body_is_the_next_request(self, server: ServerProcess) -> None:
        asking = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + UPGRADES["anything"] + b"\r\n"
        assert statuses(exchange(server.url, asking * 3 + _LAST)) == [200] * 4
        closing = asking.replace(b"upgrade\r\n", b"close, upgrade\r\n")
        assert statuses(exchange(server.url, asking + closing + asking + _LAST)) == [200, 200]

    def test_connect_is_refused(self, server: ServerProcess) -> None:
        replies = exchange(server.url, b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n" + _LAST)
        assert (statuses(replies), code_of(replies)) == ([400], "malformed_request")


_STREAM = (
    b"POST /v1/backbones HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 12\r\n"
    b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\nGET /v1/task"
    + _GET_UPGRADING
    + b"\r\n"
    + _CHUNKED
    + b"2\r\n{}\r\n0\r\nTrailer: x\r\n\r\n"
    + _LAST
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, len(_STREAM) - 1), max_size=12))
def test_it_does_not_matter_where_packets_end(server: ServerProcess, cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(_STREAM)]
    packets = [_STREAM[start:end] for start, end in pairwise(edges)]
    assert statuses(exchange(server.url, *packets, wait=0.002)) == [422, 200, 422, 200]


def _without_ids(replies: bytes) -> bytes:
    return re.sub(rb"req_\w+|date: [^\r]+", b"", replies)


def _get(path: bytes = b"/healthz", headers: bytes = b"") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n"


class TestSizes:
    @pytest.mark.parametrize(
        ("request_", "status", "code"),
        [
            (_get(b"/" + b"u" * _LIMIT), 414, "url_too_long"),
            (b"GET /" + b"u" * 1_000_000, 414, "url_too_long"),  # not even finished
            (_get(headers=b"X: " + b"h" * _LIMIT + b"\r\n"), 431, "headers_too_large"),
            (_get(headers=b"X: yes\r\n" * 10_000), 431, "headers_too_large"),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"h" * 70_000, 431, "headers_too_large"),
            (_get(headers=b"X: " + b"h" * 20_000_000 + b"\r\n"), 431, "headers_too_large"),
        ],
        ids=["URL", "URL without an end", "one header", "many headers", "header without an end", "header of 20 MB"],
    )
    def test_a_head_over_the_limit_is_refused(self, server: ServerProcess, request_: bytes, status: int, code: str) -> None:
        replies = exchange(server.url, request_)
        assert (statuses(replies), code_of(replies)) == ([status], code)

    def test_a_head_within_the_limit_is_served_in_any_number_of_packets(self, server: ServerProcess) -> None:
        request = _get(b"/docs?" + b"u" * 60_000, b"X: " + b"h" * 60_000 + b"\r\n")
        assert statuses(exchange(server.url, request + _LAST)) == [200, 200]
        assert statuses(exchange(server.url, request[:50_000], request[50_000:100_000], request[100_000:] + _LAST)) == [200, 200]

    def test_the_limit_is_for_each_request(self, server: ServerProcess) -> None:
        request = _get(headers=b"X: " + b"h" * 40_000 + b"\r\n")
        assert statuses(exchange(server.url, request * 4 + _LAST)) == [200] * 5

    def test_what_is_refused_waits_for_its_turn(self, server: ServerProcess) -> None:
        replies = exchange(server.url, _get(b"/readyz") + _get(headers=b"X: " + b"h" * _LIMIT + b"\r\n") + _LAST)
        assert statuses(replies) == [200, 431]

    def test_the_log_does_not_hold_a_long_url(self, server: ServerProcess) -> None:
        exchange(server.url, _get(b"/marked" + b"u" * 60_000), _LAST)
        exchange(server.url, _get(b"/marked" + b"u" * 70_000))
        lines = [line for line in server.log().splitlines() if "/marked" in line]
        assert len(lines) == 2
        assert max(map(len, lines)) < 1_000


class TestMalformed:
    @pytest.mark.parametrize(
        "request_",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # HTTPS to a port without it
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /a path HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET http:///healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
            _get(headers=b"a header\r\n"),
            _get(headers=b"Content-Length: " + b"0" * 4_300 + b"3\r\n") + b"abc",
            _get(headers=b"Content-Length: " + b"9" * 4_301 + b"\r\n"),
            _get(headers=b"Content-Length: 99999999999999999999\r\n"),
            _get(headers=b"Content-Length: -1\r\n"),
            _get(headers=b"Content-Length: 3\r\nContent-Length: 4\r\n") + b"abcd",
            _get(headers=b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
        ],
    )
    def test_is_answered_400_and_nothing_after_it_is_read(self, server: ServerProcess, request_: bytes) -> None:
        replies = exchange(server.url, request_ + _LAST)
        assert (statuses(replies), code_of(replies)) == ([400], "malformed_request")
        assert statuses(exchange(server.url, _get() + request_ + _LAST)) == [200, 400]

    @pytest.mark.parametrize("packets", [1, 2])
    def test_a_broken_chunk_ends_its_request(self, server: ServerProcess, packets: int) -> None:
        rest = b"1\r\n{\r\nxyz\r\n" + _LAST
        replies = exchange(server.url, *([_CHUNKED + rest] if packets == 1 else [_CHUNKED, rest]))
        assert (statuses(replies), code_of(replies)) == ([400], "malformed_request")

    def test_fields_after_the_body_are_no_headers(self, server: ServerProcess) -> None:
        replies = exchange(server.url, _CHUNKED + b"0\r\nX-Request-ID: late\r\n\r\n" + _LAST)
        assert statuses(replies) == [422, 200]
        assert b"late" not in replies

    def test_it_is_counted(self, server: ServerProcess, api: httpx.Client) -> None:
        exchange(server.url, b"nonsense\r\n\r\n")
        assert 'headstart_errors_total{code="malformed_request"}' in api.get("/metrics").text
