"""What the documents name is there: links, paths, commands with their flags, settings, routes and metrics."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from urllib.parse import parse_qs, unquote

import httpx
import pytest

import headstart
from benchmarks.server_process import ROOT
from server.app import ROUTES
from server.settings import ENVIRONMENT_PREFIX, InvalidSettings, Settings
from tests.helpers import command_lines
from tests.helpers.markdown import Code, Document, documents
from tests.helpers.servers import RealServer

DOCUMENTS = documents()
PACKAGES = ("benchmarks", "clients", "deploy", "docs", "exporting", "models", "scoring", "server", "tests", "training")
_NAMES = "|".join(PACKAGES)

# Folders of the machine, of which documents name some.
_SYSTEM = ("backup", "data", "dev", "etc", "opt", "proc", "srv", "tmp", "usr", "var")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)


@each_document
def test_links_lead_somewhere(document: Document) -> None:
    for target in document.targets():
        if re.match(r"(https?|mailto):", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        linked = (document.path.parent / file).resolve() if file else document.path
        assert linked.exists(), target
        if anchor:
            assert anchor in _anchors(linked), target


@cache
def _anchors(path: Path) -> set[str]:
    """Of the whole document, also of the changelog."""
    return Document(path, path.read_text()).anchors()


@each_document
def test_paths_exist(document: Document) -> None:
    missing = {path for path in _paths(document.text) if not _exists(path)}
    assert not missing


def _paths(text: str) -> Iterator[str]:
    """Whatever begins with a folder of the repository, and names of source files and documents wherever they are."""
    for match in re.finditer(rf"(?<![\w./…*{{}}-])(?:{_NAMES}|\.ci)/[\w./*-]*", text):
        yield match[0].rstrip(".")
    for match in re.finditer(r"`([\w./-]+\.(?:md|py|toml))`", text):
        yield match[1]


def _exists(path: str) -> bool:
    return (
        any(ROOT.glob(path))
        if "*" in path
        else (ROOT / path).exists() or any(f"/{file}".endswith(f"/{path}") for file in _files())
    )


@cache
def _files() -> list[str]:
    nested = chain.from_iterable((ROOT / package).rglob("*.*") for package in PACKAGES)
    return [str(path.relative_to(ROOT)) for path in (*ROOT.iterdir(), *nested)]


@each_document
def test_modules_exist(document: Document) -> None:
    for code in document.code():
        for module in re.findall(rf"(?<![\w./-])(?:{_NAMES})(?:\.[a-z_]+)+", code.text):
            place = ROOT.joinpath(*module.split("."))
            assert place.is_dir() or place.with_suffix(".py").exists() or _exists(module), module


@each_document
def test_commands_are_taken_by_their_own_parsers(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of blocks as a whole, those within sentences by their flags and sub-commands."""
    for name in ("URL", "TOKEN"):
        monkeypatch.delenv(f"{ENVIRONMENT_PREFIX}{name}", raising=False)
    for code in document.code():
        for name, arguments in filter(None, map(command_lines.ours, _commands(code))):
            unknown = list(command_lines.unknown_words(command_lines.parser_of(name), arguments))
            assert not unknown, (name, arguments)
            if code.is_shell and "--help" not in arguments:
                try:
                    command_lines.parse(name, arguments)
                except (SystemExit, InvalidSettings) as refusal:
                    pytest.fail(f"{name} refuses {arguments}: {refusal!r}")


def _commands(code: Code) -> Iterator[list[str]]:
    """Those that are written out, and `benchmarks.head` for `python -m benchmarks.head`."""
    for words in code.commands():
        short = code.language is None and re.fullmatch(r"benchmarks\.\w+", words[0])
        yield ["python", "-m", *words] if short else words


@each_document
def test_flags_exist(document: Document) -> None:
    """Those that stand alone, in comments or in files of other programs."""
    for code in document.code():
        for flag in _loose_flags(code):
            assert flag in _our_flags(), (flag, code.text)


def _loose_flags(code: Code) -> Iterator[str]:
    if code.language is None:
        yield from re.findall(r"^--[\w-]+", code.text)
    else:
        text = "\n".join(re.findall(r"#.*", code.text)) if code.is_shell else code.text
        yield from re.findall(r"(?<![\w-])--[a-z][\w-]*", text)


@cache
def _our_flags() -> set[str]:
    names = {"headstart", "headstart-frigate", "headstart-train"} | {
        f"headstart-server{each}" for each in ("", " audit", " keys", " quotas")
    }
    for document in DOCUMENTS:
        names.update(f"benchmarks.{name}" for name in re.findall(r"\bbenchmarks\.(\w+)", document.text) if name != "py")
    return set().union(*(command_lines.all_flags(command_lines.parser_of(name)) for name in names))


@each_document
def test_make_knows_its_targets(document: Document) -> None:
    targets = {word for code in document.code() for words in code.commands() if words[0] == "make" for word in words[1:]}
    for target in {word for word in targets if "=" not in word}:
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr


@each_document
def test_settings_exist(document: Document) -> None:
    settings = {f"{ENVIRONMENT_PREFIX}{name}".upper() for name in Settings.model_fields}
    clients = set(re.findall(rf"\b{ENVIRONMENT_PREFIX}[A-Z]+\b", _sources("clients/python/headstart")))
    assert set(re.findall(rf"\b{ENVIRONMENT_PREFIX}[A-Z_]*[A-Z]\b", document.text)) <= settings | clients


@cache
def _sources(folder: str) -> str:
    return "\n".join(path.read_text() for path in (ROOT / folder).rglob("*.py"))


@pytest.fixture(scope="module")
def metrics(server: RealServer) -> set[str]:
    return set(re.findall(r"^# TYPE (\w+)", httpx.get(f"{server.url}/metrics").text, re.MULTILINE))


@each_document
def test_metrics_exist(document: Document, metrics: set[str]) -> None:
    """Packages of the client's distribution, and fields that they write, have names of the same form."""
    clients = set(re.findall(r"\bheadstart_[a-z_]+[a-z]\b", _sources("clients/python")))
    named = {name for code in document.code() for name in re.findall(r"\bheadstart_[a-z_]+[a-z]\b", code.text)}
    assert named <= metrics | clients


@each_document
def test_the_clients_methods_exist(document: Document) -> None:
    with headstart.Client("http://localhost") as client:
        for code in document.code():
            for path in re.findall(r"\bClient\.([a-z_.]+[a-z])", code.text):
                found: object = client
                for name in path.split("."):
                    assert hasattr(found, name), path
                    found = getattr(found, name)


@pytest.fixture(scope="module")
def operations(server: RealServer) -> dict[tuple[str, str], set[str]]:
    """Method and path of each call, with {} for the path's parameters, and the names of its other parameters.

    Those of a protocol that has a document of its own are not in ours, and take no other parameters.
    """
    schema = httpx.get(f"{server.url}/openapi.json").json()
    others = {
        (method, re.sub(r"\{\w+\}", "{}", route.path)): set[str]()
        for route in ROUTES
        for method in route.methods or ()
        if not route.include_in_schema
    }
    return others | {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path)): {parameter["name"] for parameter in operation.get("parameters", ())}
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    }


@each_document
def test_routes_exist(document: Document, operations: dict[tuple[str, str], set[str]], server: RealServer) -> None:
    for method, path, query in chain.from_iterable(map(_requests, document.code())):
        fitting = [
            parameters
            for (known, route), parameters in operations.items()
            if method in {"", known} and (not path or (route.endswith(path[1:]) if path[0] == "…" else route == path))
        ]
        assert fitting or (
            method in {"", "GET"} and httpx.get(f"{server.url}{path}").status_code in ({200} if method else {200, 405})
        ), (method, path)
        assert parse_qs(query, keep_blank_values=True).keys() <= set().union(*fitting), (path, query)


def _requests(code: Code) -> Iterator[tuple[str, str, str]]:
    """Method, path with {} for its parameters, and query, where named. A path may begin with … for what goes before."""
    if code.language is not None:
        found = re.findall(r"(?:localhost|127\.0\.0\.1):8000()(/[^\s?'\"]*)\??([^\s'\"]*)", code.text)
    else:
        found = re.findall(r"^(?:([A-Z]+) )?(…?/[^\s?]*)?(?:\?(\S*))?$", code.text)
    for method, path, query in found:
        if (path or query) and path.split("/")[1:2] not in [[folder] for folder in _SYSTEM]:
            yield method, re.sub(r"\{\w+\}|\$\w+|(?<=/)\w+_01\w*…", "{}", path), query.rstrip("…")
