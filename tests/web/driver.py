"""A person's hands and eyes: what Playwright has no word for."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import httpx
from playwright.sync_api import Locator, Page

from benchmarks.server_process import ROOT
from tests.helpers.samples import SAMPLES

SCREENSHOTS = ROOT / "tests" / "web" / "screenshots"
SUPPORT = sorted((SAMPLES / "support").iterdir())
"""Folders of five photographs each."""
FISH, PALACE, TOOL, TOWER, WINDMILL = SUPPORT


def drop(place: Locator, paths: Sequence[Path]) -> None:
    """Drops files and folders of this machine onto a place, as from a file manager."""
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 12}
    session = place.page.context.new_cdp_session(place.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
    session.detach()


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


def create(url: str, examples: Iterable[tuple[str, Path]], name: str) -> str:
    """Creates a task without the page, and returns its id."""
    parts = [(label, path) for label, path in examples]
    files = [("images", (path.name, path.read_bytes())) for _, path in parts]
    data = {"name": name, "labels": [label for label, _ in parts]}
    reply = httpx.post(f"{url}/v1/tasks", files=files, data=data, timeout=60).raise_for_status()
    id_: str = reply.json()["id"]
    return id_


def samples(*folders: Path) -> list[tuple[str, Path]]:
    """The photographs of some classes with their labels."""
    return [(folder.name, path) for folder in folders for path in photographs(folder)]
