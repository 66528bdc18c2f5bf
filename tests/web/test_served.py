"""`/`: how the server answers with the page and its files."""

import re

import httpx

from tests.server.test_docs import References


def test_the_page_is_made_of_our_own_files_alone(api: httpx.Client) -> None:
    response = api.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = References(response.text)
    assert not page.inline
    kinds = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
    assert len(page.addresses) == 3
    for address in page.addresses:
        assert not re.match(r"[a-z]+:|/", address), "neither another host's nor bound to one path"
        assert api.get(f"/{address}").headers["content-type"] == kinds[address.rpartition(".")[2]]


def test_the_policy_forbids_all_but_ours(api: httpx.Client) -> None:
    for path in ("/", "/page/page.js", "/page/icon.svg"):
        headers = api.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_browser_that_has_a_file_is_sent_nothing(api: httpx.Client) -> None:
    first = api.get("/page/page.js")
    assert first.headers["cache-control"] == "no-cache"
    for held in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = api.get("/page/page.js", headers={"If-None-Match": held})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert api.get("/page/page.js", headers={"If-None-Match": '"other"'}).content == first.content


def test_nothing_else_of_the_folder_or_beside_it_is_served(api: httpx.Client) -> None:
    for path in ("/page", "/page/", "/page/index.html", "/page/../app.py", "/page/%2e%2e/app.py", "/page/none.js"):
        assert api.get(path).status_code == 404
    response = api.post("/page/page.js")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")
