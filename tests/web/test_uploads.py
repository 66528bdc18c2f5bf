"""Pictures on their way: many, refused ones, and a server that goes away."""

import re
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, Response, Route, expect

from tests.helpers.images import encode
from tests.helpers.images import photograph as drawn
from tests.helpers.servers import ServerProcess
from tests.web.conftest import OpenPage
from tests.web.driver import FISH, PALACE, TOOL, choose, create, drop, photographs, samples

_WATCH = """() => {
  window.told = [];
  const tell = () => told.push(document.querySelector(".on-their-way").textContent);
  new MutationObserver(tell).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""

_LOSE_FIRST = """() => {
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (body) {
    XMLHttpRequest.prototype.send = send;
    this.onload = this.onerror;
    this.send(body);
  };
}"""


def shows(page: Page, version: int, pictures: int) -> None:
    """Waits until the page shows a version of two classes."""
    text = f"Version {version} knows 2 classes from {pictures} pictures."
    expect(page.get_by_text(text)).to_be_visible(timeout=60_000)


def versions(server: ServerProcess, page: Page) -> list[dict[str, Any]]:
    """The versions of the task that the page shows."""
    match = re.search(r"#(task_\w+)", page.url)
    assert match
    found: list[dict[str, Any]] = httpx.get(f"{server.url}/v1/tasks/{match[1]}/versions").json()["versions"]
    return found


def test_three_hundred_photographs_are_one_version(open_page: OpenPage, web_server: ServerProcess, tmp_path: Path) -> None:
    for label in ("one", "other"):
        (tmp_path / label).mkdir()
        for number in range(150):
            large = number % 25 == 0  # 12 of them
            picture = drawn(64, 48, seed=number + 1000 * (label == "one")).resize((2400, 1800) if large else (400, 300))
            (tmp_path / label / f"{number}.jpg").write_bytes(encode(picture, "JPEG"))
    page = open_page("new/teach")
    page.evaluate(_WATCH)
    drop(page.get_by_label("Drop folders here"), [tmp_path / "one", tmp_path / "other"])
    shows(page, 1, 300)
    expect(page.locator("progress")).to_have_count(0)
    told = page.evaluate("told")
    assert [each for each in ("Preparing", "Sending", "Learning from") if f"{each} 300 pictures" not in " ".join(told)] == []
    assert len(versions(web_server, page)) == 1
    expect(page.locator(".figure")).to_be_visible(timeout=60_000)


def test_more_than_a_request_may_bring_is_split_evenly(open_page: OpenPage, web_server: ServerProcess) -> None:
    """The page is told of smaller limits than the server's: six pictures a request."""
    limits = {**httpx.get(f"{web_server.url}/v1/limits").json(), "new_examples": 6}
    page = open_page("new/teach")
    page.route("**/v1/limits", lambda route: route.fulfill(json=limits))
    page.reload()
    drop(page.get_by_label("Drop folders here"), [FISH, PALACE])
    shows(page, 2, 10)
    first, second = reversed(versions(web_server, page))
    assert [each["examples"] for each in first["classes"]] == [3, 3]
    assert [each["examples"] for each in second["classes"]] == [5, 5]


def test_an_upload_can_be_stopped(open_page: OpenPage, web_server: ServerProcess) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "stopping")
    page = open_page(f"{task}/teach")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/examples", hold)
    choose(page, "Add pictures to fish", photographs(TOOL))
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.locator(".thumb.waiting")).to_have_count(0)
    assert len(held) == 1
    assert len(versions(web_server, page)) == 1


def test_refused_files_are_named_with_the_reason_and_the_rest_goes_on(open_page: OpenPage, tmp_path: Path) -> None:
    for label, path in samples(FISH, PALACE)[2:8]:
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / path.name).write_bytes(path.read_bytes())
    (tmp_path / "fish" / "notes.txt").write_text("no picture at all")
    whole = photographs(PALACE)[4].read_bytes()
    (tmp_path / "palace" / "cut.jpg").write_bytes(whole[:40] + b"\0" * 500)
    page = open_page("new/teach", expected="422")
    drop(page.get_by_label("Drop folders here"), [tmp_path / "fish", tmp_path / "palace"])
    shows(page, 1, 6)
    refusals = page.get_by_role("alert")
    expect(refusals).to_contain_text("2 files could not be used")
    expect(refusals.locator("li").filter(has_text="notes.txt")).to_contain_text("JPEG, PNG, WebP, HEIC or AVIF")
    expect(refusals.locator("li").filter(has_text="cut.jpg")).to_contain_text("damaged")
    refusals.get_by_role("button", name="Dismiss").click()
    expect(refusals).to_have_count(0)


def test_an_answer_that_was_lost_makes_no_second_version(open_page: OpenPage, web_server: ServerProcess) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "lost answer")
    page = open_page(f"{task}/teach")
    page.evaluate(_LOSE_FIRST)
    keys: list[str] = []
    statuses: list[int] = []

    def answered(response: Response) -> None:
        if response.request.method == "POST":
            keys.append(response.request.headers["idempotency-key"])
            statuses.append(response.status)

    page.on("response", answered)
    choose(page, "Add pictures to fish", photographs(TOOL)[:2])
    shows(page, 2, 12)
    assert statuses == [201, 201]
    assert keys[0] == keys[1]
    assert len(versions(web_server, page)) == 2


def test_a_restart_of_the_server_loses_nothing(open_page: OpenPage, tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    """Also where the server is offered under a path."""
    flags = (*small_flags, "--root-path", "/headstart")
    with ServerProcess(tmp_path / "data", *flags) as first:
        port = int(first.url.rpartition(":")[2])
        task = create(first.url, samples(FISH, PALACE), "restart")
        page = open_page(f"{task}/teach", first, expected="net::ERR_", path="/headstart/")
        shows(page, 1, 10)
        first.kill()
        choose(page, "Add pictures to fish", photographs(TOOL)[:3])
        waiting = page.get_by_text("The server cannot be reached. 3 pictures wait here")
        expect(waiting).to_be_visible()
        expect(page.locator(".thumb.waiting")).to_have_count(3)
    with ServerProcess(tmp_path / "data", *flags, port=port) as second:
        shows(page, 2, 13)
        expect(waiting).to_have_count(0)
        expect(page.locator(".thumb.waiting")).to_have_count(0)
        assert len(versions(second, page)) == 2
