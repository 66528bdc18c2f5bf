"""Teach: folders, baskets and the camera, and what a change did."""

import io
import re
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from tests.helpers.images import encode, exif
from tests.helpers.images import photograph as drawn
from tests.helpers.samples import SAMPLES
from tests.helpers.servers import ServerProcess
from tests.web.conftest import OpenPage
from tests.web.driver import FISH, PALACE, SUPPORT, TOOL, TOWER, add_class, choose, create, drop, photographs, samples


def task_of(page: Page, server: ServerProcess) -> str:
    """The address of the task that the page shows, at the server."""
    match = re.search(r"#(task_\w+)", page.url)
    assert match
    return f"{server.url}/v1/tasks/{match[1]}"


def version(page: Page, number: int, pictures: int, classes: int = 2) -> None:
    """Waits until the page shows a version."""
    expect(page.get_by_text(f"Version {number} knows {classes} classes from {pictures} pictures.")).to_be_visible()


def test_a_newcomer_has_a_right_answer_in_half_a_minute_and_three_clicks(open_page: OpenPage) -> None:
    page = open_page("new/teach")
    clicks: list[None] = []
    page.expose_function("clicked", lambda: clicks.append(None))
    page.evaluate("addEventListener('click', () => clicked())")
    place = page.get_by_label("Drop folders here")
    expect(place).to_be_visible()
    began = time.monotonic()
    drop(place, SUPPORT)
    page.get_by_role("button", name="Ask it something").click()
    drop(page.get_by_label("Drop or paste pictures here"), [SAMPLES / "query" / "windmill" / "rhodes.jpg"])
    expect(page.locator(".answer .label")).to_have_text("windmill")
    assert time.monotonic() - began < 30
    assert len(clicks) <= 3
    expect(page).to_have_url(re.compile(r"#task_\w+/ask$"))


def test_baskets_begin_to_answer_at_the_second_class_and_each_change_is_told(
    open_page: OpenPage, web_server: ServerProcess
) -> None:
    page = open_page("new/teach")
    for label in ("fish", "palace", "later"):
        add_class(page, label)
    choose(page, "Add pictures to fish", photographs(FISH)[:3])
    expect(page.get_by_text("One class so far.")).to_be_visible()
    choose(page, "Add pictures to palace", photographs(PALACE)[:3])
    version(page, 1, 6)
    expect(page.get_by_role("heading", name="later")).to_be_visible()
    drop(page.get_by_label("Add pictures to fish").first, [photographs(FISH)[3]])
    version(page, 2, 7)
    expect(page.locator(".change")).to_have_text(re.compile(r"^1 picture added\. Accuracy "))
    expect(page.locator(".figure")).to_have_text(re.compile(r"^\d+ % right$"))
    page.get_by_role("button", name="Undo: back to version 1").click()
    version(page, 1, 6)
    choose(page, "Add pictures to later", photographs(TOOL)[:2])
    version(page, 3, 8, classes=3)
    page.get_by_role("button", name="Undo: back to version 1").click()
    version(page, 1, 6)
    page.reload()
    version(page, 1, 6)
    history = httpx.get(f"{task_of(page, web_server)}/versions").json()["versions"]
    assert [each["version"] for each in history if each["active"]] == [1]


def test_pictures_without_a_folder_are_asked_for_their_class(open_page: OpenPage, web_server: ServerProcess) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "loose")
    page = open_page(f"{task}/teach")
    drop(page.get_by_label("Drop folders here"), photographs(TOOL)[:2])
    expect(page.get_by_text("2 pictures without a folder.")).to_be_visible()
    drop(page.get_by_label("Drop folders here"), photographs(TOOL)[2:3])
    page.get_by_role("tab", name="Ask").click()
    page.get_by_role("tab", name="Teach").click()
    form = page.locator("form", has_text="3 pictures without a folder. Which class do they show?")
    form.get_by_label("Name of the class").fill("tool")
    form.get_by_role("button", name="Add").click()
    version(page, 2, 13, classes=3)
    drop(page.get_by_label("Drop folders here"), photographs(TOWER)[:1])
    expect(page.get_by_text("1 picture without a folder. Which class does it show?")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("without a folder")).to_have_count(0)


def test_pictures_of_none_of_the_classes_are_counted_apart(
    open_page: OpenPage, web_server: ServerProcess, tmp_path: Path
) -> None:
    """They come with the first two classes, one of them broken, and later alone."""
    page = open_page("new/teach", expected="422")
    add_class(page, "fish")
    choose(page, "Add pictures to fish", photographs(FISH)[:3])
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    choose(page, "Add pictures to None of these", [*(SAMPLES / "stranger" / f"{name}.jpg" for name in ("cat", "cow")), broken])
    expect(page.locator(".thumb.waiting")).to_have_count(6)
    add_class(page, "palace")
    choose(page, "Add pictures to palace", photographs(PALACE)[:3])
    expect(page.get_by_text("Version 1 knows 2 classes from 6 pictures, and 2 of none of them.")).to_be_visible()
    expect(page.get_by_role("alert").get_by_role("listitem")).to_have_text([re.compile("broken.jpg: .*damaged")])
    drop(page.get_by_label("Add pictures to None of these").first, [SAMPLES / "stranger" / "dog.jpg"])
    expect(page.get_by_text("Version 2 knows 2 classes from 6 pictures, and 3 of none of them.")).to_be_visible()
    page.get_by_role("button", name="Remove cow.jpg from None of these").click()
    expect(page.get_by_text("Version 3 knows 2 classes from 6 pictures, and 2 of none of them.")).to_be_visible()
    assert httpx.get(task_of(page, web_server)).json()["negatives"] == 2
    page.get_by_role("tab", name="Trust").click()
    history = page.get_by_role("region", name="Versions").get_by_role("row")
    expect(history.nth(1)).to_contain_text("picture removed6 + 2 none")


def test_a_chosen_folder_holds_class_folders(open_page: OpenPage, tmp_path: Path) -> None:
    for label, path in samples(FISH, TOWER)[:7]:
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / path.name).write_bytes(path.read_bytes())
    (tmp_path / "fish" / ".DS_Store").write_bytes(b"left by a system")
    page = open_page("new/teach")
    choose(page, "Choose a folder", tmp_path)
    version(page, 1, 7)


def test_a_picture_can_be_removed(open_page: OpenPage, web_server: ServerProcess) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "removing")
    page = open_page(f"{task}/teach")
    page.get_by_role("button", name="Remove chambord.jpg from palace").click()
    version(page, 2, 9)


def test_the_camera_teaches_and_is_answered_live(open_page: OpenPage) -> None:
    page = open_page("new/teach")
    page.get_by_role("button", name="Use the camera").click()
    for label in ("one", "other"):
        page.get_by_label("Class of the next picture").fill(label)
        page.get_by_role("button", name="Take a picture", exact=True).click()
        expect(page.get_by_role("heading", name=label, exact=True)).to_be_visible()
    version(page, 1, 2)
    page.get_by_role("button", name="Take a picture for one").click()
    page.get_by_role("button", name="Take a picture", exact=True).click()
    version(page, 2, 3)
    page.get_by_role("button", name="Take a picture for None of these").click()
    expect(page.get_by_role("button", name="Take a picture", exact=True)).to_be_disabled()  # No class is meant.
    page.get_by_role("button", name="Take a picture of none of these").click()
    expect(page.get_by_text("Version 3 knows 2 classes from 3 pictures, and 1 of none of them.")).to_be_visible()
    page.get_by_role("tab", name="Ask").click()
    with page.expect_request("**/predict?remember=false"):  # Frames fill no review queue.
        page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_label("What the camera sees").locator(".label")).to_have_text(re.compile("one|other|None of these"))
    expect(page.get_by_text(re.compile(r"\d answers a second"))).to_be_visible()
    page.get_by_role("button", name="Close the camera").click()
    expect(page.locator("video")).to_have_count(0)


def test_a_large_photograph_is_sent_small_and_upright(open_page: OpenPage, web_server: ServerProcess, tmp_path: Path) -> None:
    large = Image.new("RGB", (4000, 3000), "white")
    large.paste(drawn(500, 375).resize((2000, 3000)), (0, 0))  # its left half, and upright its upper one
    path = tmp_path / "phone.jpg"
    path.write_bytes(encode(large, "JPEG", exif=exif(6)))
    task = create(web_server.url, samples(FISH, PALACE), "large")
    page = open_page(f"{task}/teach")
    choose(page, "Add pictures to fish", path)
    version(page, 2, 11)
    stored = httpx.get(f"{web_server.url}/v1/tasks/{task}/examples").json()["examples"]
    newest = next(each for each in stored if each["file_name"] == "phone.jpg")
    assert newest["bytes"] < 1_000_000
    sent = httpx.get(f"{web_server.url}/v1/tasks/{task}/examples/{newest['id']}/image").content
    with Image.open(io.BytesIO(sent)) as image:
        assert image.size == (768, 1024)
        assert image.getexif().get(0x0112, 1) == 1
        grey = np.asarray(image.convert("L"))
    assert grey[600:].min() > 240
    assert grey[:400].min() < 200


def test_a_task_is_renamed_and_deleted(open_page: OpenPage, web_server: ServerProcess) -> None:
    task = create(web_server.url, samples(FISH, PALACE), "before")
    page = open_page(f"{task}/teach")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("New name").fill("after")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Classifier").locator("option:checked")).to_have_text("after")
    assert httpx.get(f"{web_server.url}/v1/tasks/{task}").json()["name"] == "after"
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Delete").click()
    assert httpx.get(f"{web_server.url}/v1/tasks/{task}").status_code == 200
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_label("Classifier").locator("option:checked")).not_to_have_text("after")
    assert httpx.get(f"{web_server.url}/v1/tasks/{task}").status_code == 404
