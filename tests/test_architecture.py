"""The arrows of the design: who may import whom, and which library appears where."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("models", "server", "training", "clients")

# Package -> packages of ours that it may import.
ARROWS = {
    "models": {"models"},
    "server": {"server", "models"},
    "training": {"training", "models"},
    "clients": {"clients", "headstart"},
}

# Library -> the only places of ours that may import it. A place is a file, or a folder ending in a slash.
HOMES = {
    "fastapi": {"server/app.py", "server/routes/"},
    "sqlalchemy": {
        "server/store/store.py",
        "server/store/reads.py",
        "server/store/statements.py",
        "server/store/refreshes.py",
        "server/store/refresh_notes.py",
        "server/store/removal.py",
        "server/store/new_versions.py",
        "server/store/support_sets.py",
        "server/store/tables.py",
        "server/store/database.py",
        "server/store/migrations/",
    },
    "alembic": {"server/store/database.py", "server/store/migrations/"},
    "onnxruntime": {"models/engine.py", "training/export/graphs.py"},
    "torch": {"models/engine.py", "models/backbones/", "training/"},
    "PIL": {"models/images/preprocess.py", "models/images/colour.py"},
    "pillow_heif": {"models/images/preprocess.py"},
    "safetensors": {"models/heads/head.py", "models/bundle.py"},
}

# In `server/`: journeys know no routes, and what they stand on knows no journeys.
JOURNEYS = {
    "server.journeys.adapt",
    "server.journeys.predict",
    "server.journeys.predict_many",
    "server.journeys.forget",
    "server.journeys.relabel",
    "server.journeys.compare",
    "server.journeys.embed",
    "server.journeys.reembed",
    "server.refresh.move_task",
    "server.refresh.worker",
}


def sources(package: str) -> Iterator[Path]:
    return (ROOT / package).rglob("*.py")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_along_the_arrows(package: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        for name in imports(path)
        if (top := name.partition(".")[0]) in {*PACKAGES, "headstart"} and top not in ARROWS[package]
    }
    assert not wrong


@pytest.mark.parametrize("library", HOMES)
def test_libraries_stay_in_their_rooms(library: str) -> None:
    wrong = {
        str(path.relative_to(ROOT))
        for package in ("models", "server", "training")
        for path in sources(package)
        if any(name.partition(".")[0] == library for name in imports(path))
        and not any(str(path.relative_to(ROOT)).startswith(home) for home in HOMES[library])
    }
    assert not wrong


def test_routes_are_known_to_the_application_alone() -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("server")
        for name in imports(path)
        if name.startswith("server.routes") and "routes" not in path.parts and path.name != "app.py"
    }
    assert not wrong


def test_what_journeys_stand_on_does_not_know_them() -> None:
    journeys = {ROOT / f"{name.replace('.', '/')}.py" for name in JOURNEYS}
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("server")
        if "routes" not in path.parts and path.name != "app.py" and path not in journeys
        for name in imports(path)
        if name in JOURNEYS
    }
    assert not wrong


def test_torch_stays_out_of_the_serving_path() -> None:
    """Only the TorchScript engine imports torch, and only when it is asked for."""
    top_level = ast.parse((ROOT / "models/engine.py").read_text()).body
    names = {alias.name for node in top_level if isinstance(node, ast.Import) for alias in node.names}
    assert "torch" not in names
