"""HTTP byte by byte over a socket, for tests."""

import json
import re
import select
import socket
from urllib.parse import urlsplit


def exchange(url: str, *packets: bytes, wait: float = 0.1) -> bytes:
    """Everything that the server answers to the packets, sent one by one, until it closes the connection."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for packet in packets[:-1]:
            connection.sendall(packet)
            select.select([connection], [], [], wait)  # The server has it by then, and waits for the next, or is done and closes.
        connection.sendall(packets[-1])
        replies = b""
        while piece := connection.recv(65_536):
            replies += piece
        return replies


def statuses(replies: bytes) -> list[int]:
    """The status of each reply."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", replies)]


def code_of(replies: bytes) -> str:
    """The code of the only reply, which is a problem."""
    head, _, body = replies.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"x-request-id: req_" in head
    code: str = json.loads(body)["code"]
    return code
