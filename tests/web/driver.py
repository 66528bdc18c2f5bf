"""What a person does with a mouse that Playwright has no word for."""

from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Locator, Page

from benchmarks.server_process import ROOT

SCREENSHOTS = ROOT / "tests" / "web" / "screenshots"


def drop(page: Page, place: Locator, paths: Sequence[Path]) -> None:
    """Drops files and folders of this machine onto a place, as from a file manager."""
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 12}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
    session.detach()
