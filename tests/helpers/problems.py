"""How the API answers what it refuses, for tests."""

import re

import httpx


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    """A problem document of that status and code, without a word about the server's insides."""
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json().keys() - {"images", "error", "message"} == {"type", "title", "status", "code", "detail", "request_id"}
    # An address is a word of its own: an id may have 0x in it.
    assert not re.search(r"Traceback|/home|site-packages|\.py|\b0x|sqlite|Error\(", response.json()["detail"])
