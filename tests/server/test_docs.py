"""`/docs`: nothing on it is of another host, and nothing on it may run but what we serve."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class References(HTMLParser):
    """Whatever a page makes a browser fetch or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline = 0
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in {"src", "href"} and value]
        self.inline += sum(name.startswith("on") or name == "style" for name, _ in attrs)
        self._in_script = tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        self.inline += self._in_script and bool(data.strip())


def test_the_page_is_made_of_our_own_files_alone(api: httpx.Client) -> None:
    response = api.get("/docs")
    assert response.status_code == 200
    page = References(response.text)
    assert not page.inline
    assert len(page.addresses) == 4
    for address in page.addresses:
        assert not re.match(r"[a-z]+:|/", address), "neither another host's nor bound to one path"
        fetched = api.get(f"/{address}")
        assert fetched.status_code == 200
        kind = {"css": "text/css", "js": "text/javascript", "png": "image/png"}[address.rpartition(".")[2]]
        assert fetched.headers["content-type"].partition(";")[0] == kind
    start = api.get("/docs/start.js").text
    assert "http" not in start
    assert '"openapi.json"' in start
    assert api.get("/openapi.json").status_code == 200


def test_the_policy_forbids_all_but_ours(api: httpx.Client) -> None:
    headers = api.get("/docs").headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_there_are_no_other_pages(api: httpx.Client) -> None:
    for path in ("/redoc", "/docs/oauth2-redirect", "/docs/assets/", "/docs/assets/__init__.py/../../main.py"):
        assert api.get(path).status_code in {404, 405}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_shows_it_offline_without_a_complaint(api: httpx.Client, tmp_path: Path) -> None:
    assert CHROMIUM
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path}", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    command += ["--virtual-time-budget=20000", f"{api.base_url}/docs"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "Recognise images" in shown.stdout
    assert "/v1/tasks/" in shown.stdout
    assert not re.search(r"CONSOLE.*(Content.Security.Policy|Refused|Failed to load)", shown.stderr)


def test_files_of_the_page_are_read_only(api: httpx.Client) -> None:
    response = api.post("/docs/assets/swagger-ui.css")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")
