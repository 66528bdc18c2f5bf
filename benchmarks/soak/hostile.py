"""Requests that fail, and connections that break, each at some point of a request."""

import socket
from typing import Any

from benchmarks.soak.caller import Caller

_FORGED = "hs_0123456789ab_" + "0" * 64 + "_00000000"


def hostile(caller: Caller) -> None:
    """Sends one request that must be refused."""
    image, task = caller.image(), caller.pool.any(caller.rng)
    predict, never = f"{task.path}/predict", "/v1/tasks/task_00000000000000000000000000"
    raw = {"Content-Type": "image/png"}
    refused: list[tuple[str, str, int, dict[str, Any]]] = [
        ("GET", never, 404, {}),
        ("POST", f"{never}/predict", 404, {"content": image, "headers": raw}),
        ("GET", f"/v1/{caller.rng.random()}", 404, {}),
        ("PUT", "/v1/tasks", 405, {}),
        ("POST", predict, 422, {"content": image[: len(image) // 2], "headers": raw}),
        ("POST", predict, 422, {"content": b"x" * 100_000, "headers": raw}),
        ("POST", predict, 415, {"content": image, "headers": {"Content-Type": "text/html"}}),
        ("POST", predict, 422, {"files": [("images", image)], "params": {"top_k": "none"}}),
        ("POST", "/v1/tasks", 422, {"content": b"[" * 60_000, "headers": {"Content-Type": "application/json"}}),
        ("POST", "/v1/tasks", 422, {"files": [("archive", ("a.zip", b"PK\x03\x04" + image))]}),
        ("POST", "/v1/tasks", 422, {"files": [("images", image)], "data": {"labels": ["alone"]}}),
        ("POST", "/v1/refreshes", 404, {"json": {"to": "none@1"}}),
        ("POST", "/v1/backbones", 404, {"json": {"id": "none@1"}}),
        ("GET", "/v1/tasks", 422, {"params": {"cursor": "x" * 1000, "limit": "0"}}),
        ("GET", "/v1/tasks", 401, {"headers": {"Authorization": f"Bearer {_FORGED}"}}),
        ("GET", "/v1/tasks", 401, {"headers": {"Authorization": f"Basic {caller.rng.random()}"}}),
        ("GET", "/v1/tasks", 421, {"headers": {"Host": f"{caller.rng.random()}.example"}}),
        ("POST", "/v1/tasks", 403, {"headers": {"Origin": f"https://{caller.rng.random()}.example"}}),
        ("GET", "/v1/tasks", 431, {"headers": {"X-Long": "x" * 70_000}}),
    ]
    method, path, status, request = caller.rng.choice(refused)
    caller.ask("refused", method, path, (status,), task, **request)


def cut_off(caller: Caller) -> None:
    """Breaks a connection before, within or after a request, or before its answer is read."""
    image, task = caller.image(), caller.pool.any(caller.rng)
    head = f"POST {task.path}/predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {caller.token}\r\n".encode()
    head += b"Content-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(image)
    archive = f"GET {task.path}/archive HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {caller.token}\r\n\r\n".encode()
    sent = caller.rng.choice(
        [
            b"",
            head[:20],
            head,
            head + image[: len(image) // 2],
            head + image,
            archive,
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"\0" * 5000,
        ]
    )
    address = caller.url.removeprefix("http://").split(":")
    try:
        with socket.create_connection((address[0], int(address[1])), timeout=10) as connection:
            connection.sendall(sent)
            if caller.rng.random() < 0.5:  # A reset instead of an end.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    except OSError as error:
        caller.tally.count("cut off", type(error).__name__, isinstance(error, ConnectionError), str(error))
    else:
        caller.tally.count("cut off", "cut", True)
