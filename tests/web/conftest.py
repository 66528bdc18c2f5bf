"""A browser on the page of a real server. Every test asserts that nothing was said on the console, and no other host asked."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.helpers.servers import FAST_ENGINE, ServerProcess
from tests.web.driver import SCREENSHOTS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-gpu",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # There is no other host.
)
_SECONDS = 30

expect.set_options(timeout=1000 * _SECONDS)

OpenPage = Callable[..., Page]


@pytest.fixture(scope="package")  # Playwright has an event loop at work, beside which no other test could begin one.
def browser() -> Iterator[Browser]:
    """Chromium, with a fake camera and without a network beyond this machine."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing; `.ci/run` installs it")
        pytest.skip("Chromium is missing (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_FLAGS, "--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def web_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server of the tests of the page, which leave tasks in it."""
    with ServerProcess(tmp_path_factory.mktemp("web") / "data", "--engine", FAST_ENGINE, bundle=None) as process:
        yield process


@pytest.fixture
def open_page(browser: Browser, web_server: ServerProcess) -> Iterator[OpenPage]:
    """Opens the page in a browser of its own, at an address behind `#`. Options are Playwright's of a context.

    With `server` it is the page of another server. What matches `expected` may stand on the console: a browser tells there of
    connections that fail, and of refusals.
    """
    SCREENSHOTS.mkdir(exist_ok=True)
    contexts = []
    complaints: list[str] = []

    def opened(at: str = "", server: ServerProcess = web_server, expected: str = "^$", path: str = "/", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * _SECONDS)

        def told(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"} and not re.search(expected, message.text):
                complaints.append(f"{message.type}: {message.text}")

        page.on("console", told)
        page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((f"{server.url}/", "blob:")) else complaints.append(f"asked {request.url}")
            ),
        )
        page.goto(f"{server.url}{path}#{at}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints
