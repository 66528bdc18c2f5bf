"""Refreshes over HTTP: begun, watched, changed, and what became of their tasks."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest


def begin(api: httpx.Client, to: str, tasks: list[str] | str, **more: Any) -> dict[str, Any]:
    response = api.post("/v1/refreshes", json={"to": to, "tasks": tasks, **more})
    assert response.status_code == 202, response.text
    refresh: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/refreshes/{refresh['id']}"
    return refresh


def look(api: httpx.Client, id_: str) -> dict[str, Any]:
    refresh: dict[str, Any] = api.get(f"/v1/refreshes/{id_}").json()
    return refresh


def until(api: httpx.Client, id_: str, there: Callable[[dict[str, Any]], bool], pause: float = 0.01) -> dict[str, Any]:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        if there(refresh := look(api, id_)):
            return refresh
        time.sleep(pause)
    pytest.fail(f"{refresh} came to nothing")


def ended(api: httpx.Client, id_: str) -> dict[str, Any]:
    return until(api, id_, lambda refresh: refresh["state"] not in {"running", "rolling_back"}, pause=0.05)


def moved(api: httpx.Client, to: str, tasks: list[str] | str, **more: Any) -> dict[str, Any]:
    return ended(api, begin(api, to, tasks, **more)["id"])


def change(api: httpx.Client, id_: str, action: str) -> dict[str, Any]:
    response = api.post(f"/v1/refreshes/{id_}/{action}")
    assert response.is_success, response.text
    refresh: dict[str, Any] = response.json()
    return refresh


def rolled_back(api: httpx.Client, id_: str) -> dict[str, Any]:
    assert change(api, id_, "rollback")["state"] == "rolling_back"
    return ended(api, id_)


def rows(api: httpx.Client, id_: str) -> dict[str, dict[str, Any]]:
    """What became of each task, read three to a page."""
    found: dict[str, dict[str, Any]] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = api.get(f"/v1/refreshes/{id_}/tasks", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        found |= {row["task"]: row for row in page["tasks"]}
        cursor = page["next_cursor"]
    return found


def versions(api: httpx.Client, task: str) -> list[tuple[int, bool, str, str]]:
    listed = api.get(f"/v1/tasks/{task}/versions").json()["versions"]
    return [(each["version"], each["active"], each["change"], each["backbone"]) for each in listed]
