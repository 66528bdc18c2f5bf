"""The page of a server that asks for a key."""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from benchmarks.server_process import ROOT
from tests.helpers.samples import SAMPLES
from tests.helpers.servers import FAST_ENGINE, ServerProcess, run_server
from tests.web.conftest import OpenPage
from tests.web.driver import FISH, PALACE, SCREENSHOTS, TOWER, add_class, choose, photographs

_AXE = ROOT / "clients" / "web" / "node_modules" / "axe-core" / "axe.min.js"
# What a browser itself says of a refusal, on the console.
_ASKED = r"^Failed to load resource: the server responded with a status of 401 \(Unauthorized\)$"
_ASKED_OR_FORBIDDEN = _ASKED.replace(r"401 \(Unauthorized\)", r"(401 \(Unauthorized\)|403 \(Forbidden\))")
_NOBODY = "hs_0123456789ab_" + "0" * 64 + "_00000000"
_FORM = "This server asks for a key"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page-keys") / "data"


@pytest.fixture(scope="module")
def manage(data_dir: Path) -> str:
    flags = ("--tenant", "default", "--scope", "manage", "--data-dir", str(data_dir))
    ended = run_server("keys", "create", *flags, folder=data_dir.parent)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def keyed(data_dir: Path, manage: str) -> Iterator[ServerProcess]:
    assert manage
    with ServerProcess(data_dir, "--engine", FAST_ENGINE, bundle=None) as process:
        yield process


@pytest.fixture(scope="module")
def task(keyed: ServerProcess, manage: str) -> str:
    """A task of fish and palaces."""
    examples = [(folder.name, path) for folder in (FISH, PALACE) for path in photographs(folder)]
    files = [("images", (path.name, path.read_bytes())) for _, path in examples]
    data = {"name": "kept", "labels": [label for label, _ in examples]}
    reply = httpx.post(f"{keyed.url}/v1/tasks", files=files, data=data, headers=bearer(manage), timeout=60)
    id_: str = reply.raise_for_status().json()["id"]
    return id_


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def new_key(server: ServerProcess, manage: str, **body: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/keys", json=body, headers=bearer(manage)).raise_for_status()


def sign_in(page: Page, key: str, *, keep: bool = False) -> None:
    form = page.get_by_role("form", name=_FORM)
    form.get_by_label("Key", exact=True).fill(key)
    form.get_by_label("Keep the key on this device").set_checked(keep)
    form.get_by_role("button", name="Sign in").click()


def storages(page: Page) -> list[str]:
    """The keys that the tab keeps, and the browser."""
    return page.evaluate("[sessionStorage, localStorage].map((each) => each.getItem('headstart-key') ?? '')")  # type: ignore[no-any-return]


def seen(image: Locator) -> None:
    """Waits until a picture is not only there but painted."""
    expect(image).to_have_attribute("src", re.compile("^blob:"))
    image.scroll_into_view_if_needed()  # Those out of sight are not loaded.
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("(image) => image.naturalWidth") > 0


def test_without_a_key_there_is_a_form_that_everybody_can_use(open_page: OpenPage, keyed: ServerProcess) -> None:
    page = open_page(server=keyed, expected=_ASKED, bypass_csp=True)
    page.add_script_tag(path=_AXE)
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    expect(page.get_by_role("tab")).to_have_count(0)
    sign_in(page, _NOBODY)
    expect(page.get_by_role("alert")).to_contain_text("This key is not valid.")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 844})
            page.screenshot(path=SCREENSHOTS / f"key-{scheme}-{width}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("axe.run().then((found) => found.violations)") == []


@pytest.mark.parametrize("wrong", [_NOBODY, "hs_\u00fc\u4e2d", "two words"])
def test_a_wrong_key_is_told_and_forgotten(open_page: OpenPage, keyed: ServerProcess, wrong: str) -> None:
    page = open_page(server=keyed, expected=_ASKED)
    sign_in(page, wrong, keep=True)
    expect(page.get_by_role("alert")).to_contain_text("This key is not valid.")
    expect(page.get_by_label("Key", exact=True)).to_have_value("")
    assert storages(page) == ["", ""]
    assert wrong not in page.content() + page.url


def test_with_a_key_one_teaches_and_asks_and_signing_out_forgets_it(
    open_page: OpenPage, keyed: ServerProcess, manage: str
) -> None:
    page = open_page("new/teach", server=keyed, expected=_ASKED)
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    sign_in(page, manage)
    for folder in (FISH, TOWER):
        add_class(page, folder.name)
        choose(page, f"Add pictures to {folder.name}", photographs(folder))
    expect(page.get_by_text("Version 1 knows 2 classes from 10 pictures.")).to_be_visible()
    seen(page.get_by_role("img", name=photographs(FISH)[-1].name))
    page.get_by_role("button", name="Ask it something").click()
    choose(page, "Choose pictures", [SAMPLES / "query" / "tower" / "eiffel.jpg"])
    expect(page.locator(".answer .label")).to_have_text("tower")
    seen(page.locator(".nearest img").first)
    assert storages(page) == [manage, ""]
    page.reload()
    expect(page.get_by_role("tab", name="Ask")).to_be_visible()
    assert not [each for each in addresses if manage in each]
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("form", name=_FORM)).to_be_visible()
    assert storages(page) == ["", ""]
    assert page.url == f"{keyed.url}/"
    page.reload()
    expect(page.get_by_role("form", name=_FORM)).to_be_visible()


def test_a_kept_key_opens_other_tabs_until_one_signs_out(
    open_page: OpenPage, keyed: ServerProcess, manage: str, task: str
) -> None:
    page = open_page(f"{task}/teach", server=keyed, expected=_ASKED)
    sign_in(page, manage, keep=True)
    seen(page.get_by_role("img", name=photographs(FISH)[-1].name))
    assert storages(page) == ["", manage]
    other = page.context.new_page()
    other.goto(f"{keyed.url}/#{task}/teach")
    seen(other.get_by_role("img", name=photographs(PALACE)[-1].name))
    page.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("form", name=_FORM)).to_be_visible()


def test_pictures_that_are_out_of_sight_are_let_go(open_page: OpenPage, keyed: ServerProcess, manage: str, task: str) -> None:
    page = open_page(f"{task}/teach", server=keyed, expected=_ASKED)
    page.evaluate(
        """() => {
            const { createObjectURL, revokeObjectURL } = URL;
            window.held = new Set();
            URL.createObjectURL = (blob) => { const made = createObjectURL(blob); held.add(made); return made; };
            URL.revokeObjectURL = (address) => { held.delete(address); revokeObjectURL(address); };
        }"""
    )
    sign_in(page, manage)
    for path in (*photographs(FISH), *photographs(PALACE)):
        seen(page.get_by_role("img", name=path.name))
    assert page.evaluate("held.size") == 10
    page.get_by_role("tab", name="Use").click()
    expect(page.locator("pre").first).to_be_visible()
    assert page.evaluate("held.size") == 0


def test_the_archive_is_saved_and_lines_for_copying_have_no_key(
    open_page: OpenPage, keyed: ServerProcess, manage: str, task: str
) -> None:
    page = open_page(f"{task}/use", server=keyed, expected=_ASKED)
    sign_in(page, manage)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download its pictures").click()
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as archive:
        assert len([name for name in archive.namelist() if name.endswith(".jpg")]) == 10
    lines = page.locator("pre")
    expect(lines.nth(0)).to_contain_text('-H "Authorization: Bearer $HEADSTART_TOKEN"')
    expect(lines.nth(1)).to_contain_text('token=os.environ["HEADSTART_TOKEN"]')
    expect(lines.nth(2)).to_contain_text("Bearer ${process.env.HEADSTART_TOKEN}")
    assert manage not in page.content()


def test_a_key_that_may_only_ask_is_told_so(open_page: OpenPage, keyed: ServerProcess, manage: str, task: str) -> None:
    page = open_page(f"{task}/teach", server=keyed, expected=_ASKED)
    sign_in(page, new_key(keyed, manage, scope="predict", task=task).json()["token"])
    expect(page.get_by_text("With this key you may ask, but not teach or change anything.")).to_be_visible()
    page.get_by_role("button", name="Go to Ask").click()
    choose(page, "Choose pictures", [SAMPLES / "query" / "fish" / "perch.jpg"])
    expect(page.locator(".answer .label")).to_have_text("fish")
    expect(page.get_by_text("That is wrong")).to_have_count(0)


def test_what_a_key_may_not_do_is_told_in_plain_words(open_page: OpenPage, keyed: ServerProcess, manage: str, task: str) -> None:
    page = open_page(f"{task}/teach", server=keyed, expected=_ASKED_OR_FORBIDDEN)
    sign_in(page, new_key(keyed, manage, scope="write").json()["token"])
    page.on("dialog", lambda dialog: dialog.accept())
    expect(page.locator(".card").get_by_text(re.compile(r"\d right$")).first).to_be_visible()  # All was read.
    page.get_by_role("button", name="Delete", exact=True).click()
    told = page.get_by_role("alert")
    expect(told).to_have_text(re.compile("With it you may ask and teach, but not delete a classifier."))
    assert httpx.get(f"{keyed.url}/v1/tasks/{task}", headers=bearer(manage)).is_success


def test_pictures_wait_for_a_key_when_theirs_is_revoked(open_page: OpenPage, keyed: ServerProcess, manage: str) -> None:
    page = open_page("new/teach", server=keyed, expected=_ASKED)
    made = new_key(keyed, manage, scope="write").json()
    sign_in(page, made["token"])
    add_class(page, "fish")
    choose(page, "Add pictures to fish", photographs(FISH)[:2])
    expect(page.get_by_text("One class so far.")).to_be_visible()
    httpx.delete(f"{keyed.url}/v1/keys/{made['id']}", headers=bearer(manage)).raise_for_status()
    add_class(page, "tower")
    choose(page, "Add pictures to tower", photographs(TOWER)[:2])
    expect(page.get_by_text("4 pictures wait here and will be sent once there is a key.")).to_be_visible()
    lists: list[tuple[Route, APIResponse]] = []  # of tasks, which arrive after the new one was made
    page.route(re.compile(r"/v1/tasks\?"), lambda route: lists.append((route, route.fetch())))
    sign_in(page, manage)
    page.wait_for_url(re.compile("#task_"))
    for route, answer in lists:
        route.fulfill(response=answer)
    assert lists
    expect(page.get_by_text("Version 1 knows 2 classes from 4 pictures.")).to_be_visible()
