"""Teach: folders, baskets and the camera."""

import re

from playwright.sync_api import expect

from tests.helpers.samples import SAMPLES
from tests.web.conftest import OpenPage
from tests.web.driver import drop

SUPPORT = sorted((SAMPLES / "support").iterdir())


def test_dropped_folders_become_a_task_that_answers(open_page: OpenPage) -> None:
    page = open_page("new/teach")
    drop(page, page.get_by_label("Drop folders here"), SUPPORT)
    expect(page.get_by_text("Version 1 knows 5 classes from 25 pictures.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"#task_\w+/teach$"))
    expect(page.locator(".figure")).to_have_text(re.compile(r"^\d+ % right$"))
