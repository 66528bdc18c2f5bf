"""The review queue in Improve: by key and by button, in two windows, across reloads and lost connections."""

import re
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from tests.helpers.samples import SAMPLES
from tests.helpers.servers import ServerProcess
from tests.web.conftest import OpenPage
from tests.web.driver import FISH, PALACE, create, remember, samples

_PERCH, _GOLDFISH = (SAMPLES / "query" / "fish" / name for name in ("perch.jpg", "goldfish.jpg"))
_LOUVRE = SAMPLES / "query" / "palace" / "louvre.jpg"
_CAT, _OWL = (SAMPLES / "stranger" / name for name in ("cat.jpg", "owl.jpg"))


def under_review(page: Page) -> str:
    """The id of the capture that is shown."""
    source = page.locator(".deciding .asked img").get_attribute("src")
    match = re.search(r"captures/(prediction_\w+)/image", source or "")
    assert match
    return match[1]


def decide(page: Page, key: str) -> None:
    """Presses a key, and waits until the next capture is shown, or none."""
    before = under_review(page)
    page.keyboard.press(key)
    expect(page.locator(f".deciding .asked img[src*={before}]")).to_have_count(0)


def learn_from(page: Page, decisions: int) -> Locator:
    return page.get_by_role("button", name=re.compile(f"^Learn from {decisions} decisions?$"))


def task_at(server: ServerProcess, task: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{server.url}/v1/tasks/{task}").json()
    return found


def sizes(found: dict[str, Any]) -> dict[str, int]:
    return {each["label"]: each["examples"] for each in found["classes"]}


def test_keys_decide_and_one_version_learns_from_all(open_page: OpenPage, web_server: ServerProcess) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "by key")
    dog = {"negatives": (SAMPLES / "stranger" / "dog.jpg").read_bytes()}
    httpx.post(f"{web_server.url}/v1/tasks/{task}/examples", files=dog).raise_for_status()
    asked = remember(web_server.url, task, [_PERCH, _GOLDFISH, _LOUVRE, _CAT, _OWL])
    page = open_page(f"{task}/ask")
    page.get_by_role("tab", name="Improve").click()
    expect(page.get_by_text("5 pictures to decide about")).to_be_visible()
    expect(page.locator(".deciding .nearest img")).to_have_count(3)
    assert page.locator(".deciding .asked img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    keys = {_GOLDFISH: "1", _LOUVRE: "2", _CAT: "n", _OWL: "x"}
    first = under_review(page)
    decide(page, "x")  # The click left the focus on the tab, and the queue took it.
    page.keyboard.press("u")
    expect(page.locator(".deciding .asked img")).to_have_attribute("src", re.compile(first))
    page.get_by_role("button", name="Look again").focus()
    page.keyboard.press("x")  # It goes to a button elsewhere.
    page.get_by_role("heading", name="What was it asked?").click()  # Nothing has the focus now, and keys count.
    expect(learn_from(page, 1)).to_have_count(0)
    for _ in range(5):
        capture = asked[under_review(page)]
        if capture == _PERCH:
            expect(page.locator(".deciding .label")).to_have_text("fish")
        decide(page, keys.get(capture, "Space"))
    expect(page.get_by_text("No picture waits for a decision.")).to_be_visible()
    expect(learn_from(page, 5)).to_have_text("Learn from 5 decisionsenter")
    page.get_by_role("heading", name="What was it asked?").click()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Version 3 has learnt from 4 pictures. 1 picture discarded.")).to_be_visible()
    found = task_at(web_server, task)
    assert (found["version"], sizes(found), found["negatives"]) == (3, {"fish": 7, "palace": 6}, 2)
    page.keyboard.press("u")
    expect(page.get_by_text("It is back at the version before.")).to_be_visible()
    assert task_at(web_server, task)["version"] == 2
    changes: list[str] = []
    page.on("request", lambda request: changes.append(request.url) if request.method == "PATCH" else None)
    page.keyboard.press("u")  # It takes back what was learnt here, and no more.
    page.get_by_role("tab", name="Trust").click()
    expect(page.get_by_role("button", name="Use version 3")).to_be_visible()
    assert not changes
    page.get_by_role("button", name="Use version 3").click()
    expect(page.get_by_role("button", name="Use version 2")).to_be_visible()
    page.get_by_role("tab", name="Improve").click()
    expect(page.get_by_text("No picture waits for a decision.")).to_be_visible()
    expect(page.get_by_text("It is back at the version before.")).to_have_count(0)


def test_one_decision_serves_look_alikes_unless_they_are_taken_out(
    open_page: OpenPage, web_server: ServerProcess, tmp_path: Path
) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "look-alikes")
    copies = [tmp_path / f"{quality}.jpg" for quality in (90, 80, 70, 60)]
    with Image.open(_OWL) as owl:
        for path in copies:
            owl.save(path, quality=int(path.stem))
    remember(web_server.url, task, copies)
    page = open_page(f"{task}/improve")
    expect(page.get_by_text("and 3 that look like it")).to_be_visible()
    page.get_by_role("button", name="Look at them").click()
    page.get_by_role("checkbox", name="look-alike 2").uncheck()
    form = page.locator("form", has=page.get_by_role("button", name="It is that"))
    form.get_by_label("Another class").press_sequentially("0 owls")  # Its keys are letters here.
    form.get_by_label("Another class").press("Enter")
    expect(page.get_by_text("Marked as 0 owls, with 2 that look like it.")).to_be_visible()
    learn_from(page, 1).click()
    expect(page.get_by_text("Version 2 has learnt from 3 pictures.")).to_be_visible()
    assert sizes(task_at(web_server, task)) == {"0 owls": 3, "fish": 5, "palace": 5}


def test_another_persons_decision_is_told_and_the_rest_is_kept(open_page: OpenPage, web_server: ServerProcess) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "two people")
    remember(web_server.url, task, [_PERCH, _LOUVRE])
    one, other = (open_page(f"{task}/improve", expected="404") for _ in range(2))
    for page in (one, other):
        expect(page.get_by_text("2 pictures to decide about")).to_be_visible()
        decide(page, "n")
    decide(other, "1")
    learn_from(one, 1).click()
    expect(one.get_by_text("Version 2 has learnt from 1 picture.")).to_be_visible()
    learn_from(other, 2).click()
    expect(other.get_by_text("Somebody else has decided about 1 picture meanwhile.")).to_be_visible()
    learn_from(other, 1).click()
    expect(other.get_by_text("Version 3 has learnt from 1 picture.")).to_be_visible()
    found = task_at(web_server, task)
    assert (sizes(found), found["negatives"]) == ({"fish": 6, "palace": 5}, 1)


def test_windows_of_one_browser_share_decisions(open_page: OpenPage, web_server: ServerProcess) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "two windows")
    remember(web_server.url, task, [_PERCH, _LOUVRE])
    one = open_page(f"{task}/improve")
    other = one.context.new_page()
    other.goto(one.url)
    for page in (one, other):
        expect(page.locator(".deciding .asked img")).to_be_visible()
    decide(one, "1")
    decide(other, "2")
    learn_from(one, 2).click()
    for page in (one, other):
        expect(page.get_by_text("Version 2 has learnt from 2 pictures.")).to_be_visible()
        expect(page.get_by_text("No picture waits for a decision.")).to_be_visible()
    assert task_at(web_server, task)["version"] == 2


def test_decisions_survive_reloads_and_an_answer_that_was_lost(open_page: OpenPage, web_server: ServerProcess) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "lost decisions")
    remember(web_server.url, task, [_PERCH, _CAT])
    page = open_page(f"{task}/improve", expected="net::ERR_")
    expect(page.get_by_text("2 pictures to decide about")).to_be_visible()
    decide(page, "1")
    page.reload()
    expect(learn_from(page, 1)).to_be_visible()
    decide(page, "n")
    keys: set[str] = set()

    def lose(route: Route) -> None:
        keys.add(route.request.headers["idempotency-key"])
        route.fetch()
        route.abort("connectionreset")

    page.route("**/resolve", lose)
    learn_from(page, 2).click()
    expect(page.get_by_text("The server cannot be reached. 2 decisions wait here")).to_be_visible()
    page.unroute("**/resolve")
    page.on("request", lambda request: keys.add(request.headers.get("idempotency-key", "")) if "resolve" in request.url else None)
    page.reload()
    expect(page.get_by_text("Version 2 has learnt from 2 pictures.")).to_be_visible()
    assert len(keys) == 1
    found = task_at(web_server, task)
    assert (found["version"], sum(sizes(found).values()), found["negatives"]) == (2, 11, 1)


def test_a_switch_keeps_what_it_is_unsure_about(open_page: OpenPage, web_server: ServerProcess) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "keeping")
    page = open_page(f"{task}/improve")
    switch = page.get_by_role("switch", name="Keep pictures that it is unsure about")
    expect(switch).to_have_attribute("aria-checked", "false")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    expect(
        page.get_by_text("At most 1,000 pictures wait, the oldest leave first, and none is kept for more than 30 days.")
    ).to_be_visible()
    assert task_at(web_server, task)["capture"]["keep"] == "uncertain"
    remember(web_server.url, task, [_CAT])
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("1 picture to decide about")).to_be_visible()
    page.get_by_role("tab", name="Ask").click()
    expect(page.get_by_text("Those that it is unsure about are kept for Improve.")).to_be_visible()
    page.get_by_role("tab", name="Improve").click()
    page.get_by_role("switch").click()
    expect(switch).to_have_attribute("aria-checked", "false")
    assert task_at(web_server, task)["capture"]["keep"] == "none"
