"""A person's hands and eyes: what Playwright has no word for."""

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
from playwright import sync_api
from playwright.sync_api import Locator, Page, expect

from benchmarks.server_process import ROOT
from tests.helpers.samples import SAMPLES

SCREENSHOTS = ROOT / "tests" / "web" / "screenshots"
SUPPORT = sorted((SAMPLES / "support").iterdir())
"""Folders of five photographs each."""
FISH, PALACE, TOOL, TOWER, WINDMILL = SUPPORT
_ATTEMPTS = 20
_READY_MS, _REACHED_MS = 500.0, 5000.0  # for a place to look ready, and to get what was dropped


def drop(place: Locator, paths: Sequence[Path]) -> None:
    """Drops files and folders of this machine onto a place, as from a file manager, once it looks ready.

    What arrives from the server may move the place at any time. Where the drop misses it, it is tried again.
    """
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = place.page.context.new_cdp_session(place.page)
    # Kept in the window, since what was dropped may change the place.
    place.evaluate("place => { window.reached = false; place.addEventListener('drop', () => { window.reached = true; }); }")

    def send(kind: str, x: float, y: float) -> None:
        session.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})

    for _ in range(_ATTEMPTS):
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        assert box
        at = box["x"] + box["width"] / 2, box["y"] + 12
        send("dragEnter", *at)
        send("dragOver", *at)
        with suppress(AssertionError, sync_api.TimeoutError):
            expect(place).to_have_class(re.compile(r"\bheld\b"), timeout=_READY_MS)
            send("drop", *at)
            place.page.wait_for_function("window.reached", timeout=_REACHED_MS)
            session.detach()
            return
        send("dragCancel", *at)
    raise AssertionError("the drop never reached its place")


def choose(page: Page, button: str, paths: Sequence[Path] | Path) -> None:
    """Chooses files, or a folder, behind a button."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button, exact=True).click()
    chooser.value.set_files(paths)


def add_class(page: Page, label: str) -> None:
    """Names a basket."""
    form = page.locator("form", has=page.get_by_role("button", name="Add a class"))
    form.get_by_label("Name of the class").fill(label)
    form.get_by_role("button", name="Add a class").click()


def photographs(folder: Path) -> list[Path]:
    """The photographs of a class."""
    return sorted(folder.glob("*.jpg"))


def create(url: str, examples: Iterable[tuple[str | None, Path]], name: str) -> str:
    """Creates a task without the page, and returns its id. An example without a label is a negative."""
    parts = [(label, path) for label, path in examples]
    files = [("images" if label else "negatives", (path.name, path.read_bytes())) for label, path in parts]
    data = {"name": name, "labels": [label for label, _ in parts if label]}
    reply = httpx.post(f"{url}/v1/tasks", files=files, data=data, timeout=60).raise_for_status()
    id_: str = reply.json()["id"]
    return id_


def create_several(url: str, examples: Iterable[tuple[list[str], Path]], name: str) -> str:
    """Creates a task of several labels an image without the page, and returns its id. An example of no label is a negative."""
    parts = list(examples)
    files = [("images" if labels else "negatives", (path.name, path.read_bytes())) for labels, path in parts]
    data = {"name": name, "label_mode": "multiple", "labels": [json.dumps(labels) for labels, _ in parts if labels]}
    reply = httpx.post(f"{url}/v1/tasks", files=files, data=data, timeout=60).raise_for_status()
    id_: str = reply.json()["id"]
    return id_


def remember(url: str, task: str, paths: Sequence[Path]) -> dict[str, Path]:
    """Asks a task about photographs without the page, and returns them by the ids of their captures."""
    files = [("images", (path.name, path.read_bytes())) for path in paths]
    reply = httpx.post(f"{url}/v1/tasks/{task}/predict?remember=true", files=files, timeout=60).raise_for_status()
    return {each["prediction"]: path for each, path in zip(reply.json()["predictions"], paths, strict=True)}


def samples(*folders: Path) -> list[tuple[str, Path]]:
    """The photographs of some classes with their labels."""
    return [(folder.name, path) for folder in folders for path in photographs(folder)]
