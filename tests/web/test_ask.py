"""Ask: dropped and pasted pictures, strangers, broken files, and what a person says it is."""

import base64
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.helpers.samples import SAMPLES
from tests.helpers.servers import ServerProcess
from tests.web.conftest import OpenPage
from tests.web.driver import FISH, PALACE, SUPPORT, create, create_several, drop, photographs, samples

_PASTE = """(picture) => {
  const bytes = Uint8Array.from(atob(picture), (character) => character.charCodeAt(0));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([bytes], "pasted.jpg", {type: "image/jpeg"}));
  document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
}"""


def test_pictures_are_answered_with_what_the_answer_rests_on(
    open_page: OpenPage, web_server: ServerProcess, tmp_path: Path
) -> None:
    task = create(web_server.url, samples(*SUPPORT), "asking")
    page = open_page(f"{task}/ask")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    asked = [SAMPLES / "query" / "tower" / "eiffel.jpg", SAMPLES / "stranger" / "cat.jpg", broken]
    drop(page.get_by_label("Drop or paste pictures here"), asked)
    tower, stranger, failed = (page.locator(".answer").filter(has_text=path.name) for path in asked)
    expect(tower.locator(".label")).to_have_text("tower")
    expect(tower).to_contain_text("% sure")
    expect(tower.locator(".nearest img")).to_have_count(3)
    assert tower.locator(".nearest img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    expect(stranger.locator(".label")).to_have_text("None of these")
    expect(failed).to_contain_text("damaged")
    page.evaluate(_PASTE, base64.b64encode((SAMPLES / "query" / "fish" / "perch.jpg").read_bytes()).decode())
    pasted = page.locator(".answer").filter(has_text="pasted.jpg")
    expect(pasted.locator(".label")).to_have_text("fish")
    expect(page.locator(".answer")).to_have_count(4)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".answer")).to_have_count(0)


def test_a_wrong_answer_becomes_an_example(open_page: OpenPage, web_server: ServerProcess) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "correcting")
    page = open_page(f"{task}/ask")
    drop(page.get_by_label("Drop or paste pictures here"), [SAMPLES / "stranger" / "cow.jpg"])
    page.locator(".answer").get_by_label("That is wrong: it is").select_option("fish")
    expect(page.get_by_text("Added to fish.")).to_be_visible()
    page.get_by_role("tab", name="Trust").click()
    page.get_by_role("tab", name="Ask").click()
    expect(page.get_by_text("Added to fish.")).to_be_visible()
    expect(page.get_by_label("That is wrong: it is")).to_have_count(0)
    drop(page.get_by_label("Drop or paste pictures here"), [SAMPLES / "stranger" / "owl.jpg"])
    page.locator(".answer").get_by_label("That is wrong: it is").select_option("None of these")
    expect(page.get_by_text("Added to None of these.")).to_be_visible()
    page.get_by_role("tab", name="Teach").click()
    expect(page.get_by_text("Version 3 knows 2 classes from 11 pictures, and 1 of none of them.")).to_be_visible()


def test_a_task_of_several_labels_is_asked_here_and_taught_elsewhere(open_page: OpenPage, web_server: ServerProcess) -> None:
    """A reply to a question is made on its way."""
    fish, palace = photographs(FISH), photographs(PALACE)
    sets = [*((["fish"], path) for path in fish[:4]), *((["palace"], path) for path in palace[:4]), (["fish", "palace"], fish[4])]
    task = create_several(web_server.url, [*sets, ([], SAMPLES / "stranger" / "cow.jpg")], "several")
    page = open_page(f"{task}/ask")
    near = {"example": "example_01", "label": None, "labels": ["fish", "palace"], "image": None, "file_name": None}
    both = {"labels": ["palace", "fish"], "scores": {"palace": 0.8, "fish": 0.7}}
    prediction = {"label": "palace", "probability": 0.8, "known": True, "nearest": [near, near | {"labels": []}], **both}
    page.route("**/predict", lambda route: route.fulfill(json={"predictions": [prediction]}))
    drop(page.get_by_label("Drop or paste pictures here"), [SAMPLES / "query" / "fish" / "perch.jpg"])
    expect(page.locator(".answer .label")).to_have_text("palace, fish")
    expect(page.locator(".answer .verdict")).to_contain_text("palace 80 %, fish 70 %")
    expect(page.locator(".answer .scores dt")).to_have_text(["palace", "fish"])
    expect(page.locator(".answer .nearest span:last-child")).to_have_text(["fish, palace", "None of these"])
    expect(page.get_by_label("That is wrong: it is")).to_have_count(0)
    for name in ("Improve", "Teach"):
        page.get_by_role("tab", name=name).click()
        expect(page.get_by_text("It is taught through the API")).to_be_visible()
    expect(page.get_by_label("Drop folders here")).to_have_count(0)
    expect(page.get_by_text("It is answering. Version 1 knows 2 labels.")).to_be_visible()
    page.get_by_role("tab", name="Trust").click()
    expect(page.locator(".classes dt")).to_have_text(["fish", "palace"])
    versions = page.get_by_role("region", name="Versions").get_by_role("row")
    expect(versions.nth(0)).to_contain_text("Labels")
    expect(versions.nth(1)).to_contain_text(re.compile(r"^1created2\d+ %"))
    for heading in ("What is taken for what", "Would another method do better?"):
        expect(page.get_by_role("heading", name=heading)).to_have_count(0)
