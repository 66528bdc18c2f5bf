"""The arrows of the design: which folder may import which, and where each library may appear."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Package -> packages of ours that it may import beside itself.
PACKAGES: Mapping[str, set[str]] = {
    "models": set(),
    "server": {"models", "headstart"},  # the client alone in `/mcp`, whose tools are calls of the client
    "training": {"models"},
    "scoring": {"models"},
    "exporting": {"models"},
    "clients": {"headstart", "scoring", "exporting"},  # the command line alone, where scoring or an export is asked for
    "benchmarks": {"models", "server", "training", "scoring", "exporting", "headstart"},
}

# Package -> its places from the top floor down: a folder, or a file beside the folders. A place imports only places below it.
# Every file that is not listed is ground: each place may import it, and it imports nothing but ground.
FLOORS: Mapping[str, Sequence[str]] = {
    "server": [
        "__main__",
        "on_ray",
        "serving",
        "device",
        "commands",
        "app",
        "grpc",
        "http",
        "refresh",
        "journeys",
        "service",
        "peers",
        "cache",
        "engine",
        "store",
    ],
    "models": ["engine", "runtimes", "bundle", "backbones", "answers", "examples", "novelty", "heads", "images"],
    "training": [
        "__main__",
        "commands",
        "search",
        "importing",
        "export",
        "calibration",
        "run",
        "evaluation",
        "continual",
        "adaptation",
        "architectures",
        "objectives",
        "data",
    ],
    "scoring": ["on_ray", "run", "kept", "write", "plan", "tables", "classify", "embed", "decode", "sources"],
    "exporting": ["check", "web", "tflite", "coreml", "model", "golden", "answers", "fit", "steps", "whole"],
    "headstart": [
        "__main__",
        "cli",
        "mcp",
        "client",
        "calls",
        "uploads",
        "queries",
        "reading",
        "limits",
        "http",
        "replies",
        "images",
    ],
}

# Request and response bodies stand beside the floors of `server`: the three uppermost folders know them, and they know records.
SCHEMAS = "schemas"
KNOW_SCHEMAS = {"http", "refresh", "journeys"}
KNOWN_TO_SCHEMAS = {"server.store.records", "server.store.refresh_records", "server.store.key_records", "server.keys"}

# Library -> the only places of ours that may import it. A place is a file, or a folder ending in a slash.
HOMES: Mapping[str, set[str]] = {
    "fastapi": {"server/app.py", "server/http/"},
    "ray": {"server/on_ray/", "scoring/on_ray.py"},
    "starlette": {"server/app.py", "server/on_ray/", "server/serving.py", "server/http/"},
    "uvicorn": {"server/serving.py", "server/http/protocol.py"},
    "grpc": {"server/grpc/"},
    "google": {"server/grpc/"},
    "sqlalchemy": {"server/store/"},
    "alembic": {"server/store/schema.py", "server/store/migrations/"},
    "onnxruntime": {
        "models/engine.py",
        "models/runtimes/onnx.py",
        "models/runtimes/mapped.py",
        "models/runtimes/sessions.py",
        "training/export/graphs.py",
    },
    "onnx": {"training/", "exporting/"},
    "torch": {
        "models/runtimes/devices.py",
        "models/tensors.py",
        "models/cuda_graphs.py",
        "models/answers/on_device.py",
        "models/answers/tables.py",
        "models/heads/solvers/dense_newton.py",
        "models/backbones/",
        "exporting/coreml/",  # coremltools reads TorchScript, and no ONNX
        "training/",
    },
    "ai_edge_litert": {"exporting/tflite/"},
    "flatbuffers": {"exporting/tflite/graph.py"},
    "coremltools": {"exporting/coreml/"},
    "transformers": {"training/importing/hub/families.py"},
    "tokenizers": {"models/runtimes/text.py", "training/importing/hub/text.py"},
    "yaml": {"training/importing/hub/licence.py"},
    "optuna": {"training/search/study.py"},
    "PIL": {
        "models/images/preprocess.py",
        "models/images/colour.py",
        "exporting/coreml/reader.py",  # Core ML takes no arrays as images
        "clients/python/headstart/images/",
    },
    "pillow_heif": {"models/images/preprocess.py", "clients/python/headstart/images/"},
    "opentelemetry": {"server/tracing.py"},
    "safetensors": {"models/heads/head.py", "models/bundle.py", "models/answers/classifier.py"},
    "pyarrow": {"scoring/"},
    "jwt": {"server/cache/tokens.py", "server/cache/issuer_keys.py"},
    "cryptography": {"server/cache/issuer_keys.py", "server/store/images.py"},
    "obstore": {"scoring/sources.py", "server/store/object_store.py"},
    "httpx": {"clients/python/headstart/http/", "server/http/carried.py", "server/http/forwarding.py"},
    "keyring": {"clients/python/headstart/cli/kept_keys.py"},
    "rich": {"clients/python/headstart/cli/"},
    "fiftyone": {"clients/python/headstart_fiftyone/"},
    "cvat_sdk": {"clients/python/headstart_cvat/"},
    "paho": {"clients/python/headstart_frigate/"},
    "mcp": {"clients/python/headstart/mcp/", "server/http/tools.py"},
    "headstart": {"clients/python/", "server/http/tools.py"},
}


def folder_of(package: str) -> Path:
    return ROOT / ("clients/python/headstart" if package == "headstart" else package)


def sources(package: str) -> Iterator[Path]:
    return folder_of(package).rglob("*.py")


def module_of(path: Path) -> str:
    parts = Path(str(path.relative_to(ROOT)).removeprefix("clients/python/")).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, at any depth, and every name that may be one."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.relative_to(ROOT)} has a relative import"
            assert node.module
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def place_of(module: str) -> str:
    """The folder that a module of a package lies in, or its own name where it lies beside the folders."""
    return module.split(".")[1] if "." in module else "__init__"


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_along_the_arrows(package: str) -> None:
    ours = {*PACKAGES, "headstart", "tests"}
    allowed = {package, *PACKAGES[package]}
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        for name in imports(path)
        if (top := name.partition(".")[0]) in ours and top not in allowed
    }
    assert not wrong


@pytest.mark.parametrize("package", FLOORS)
def test_folders_import_only_what_is_below_them(package: str) -> None:
    ground = len(FLOORS[package])
    floors = {place: number for number, place in enumerate(FLOORS[package])}
    for folder in folder_of(package).iterdir():
        if any(folder.glob("*.py")):
            assert folder.name in floors or (package, folder.name) == ("server", SCHEMAS), f"{folder} stands on no floor"
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        if (importer := place_of(module_of(path))) != SCHEMAS
        for name in imports(path)
        if name.startswith(f"{package}.") and (imported := place_of(name)) not in {importer, SCHEMAS}
        if importer != "__init__" and floors.get(importer, ground) >= floors.get(imported, ground + 1)
    }
    assert not wrong


def test_schemas_know_records_and_are_known_above_the_service_alone() -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("server")
        for name in imports(path)
        if name.startswith(f"server.{SCHEMAS}") and place_of(module_of(path)) not in {SCHEMAS, *KNOW_SCHEMAS}
    } | {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / "server" / SCHEMAS).rglob("*.py")
        for name in imports(path)
        if name.startswith("server.") and not name.startswith((f"server.{SCHEMAS}", *KNOWN_TO_SCHEMAS))
        if name != "server.store"
    }
    assert not wrong


@pytest.mark.parametrize("package", ["models", "server", "training", "scoring", "exporting", "benchmarks", "headstart"])
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    modules = {module_of(path): path for path in sources(package)}
    arrows = {module: set(imports(path)) & modules.keys() - {module} for module, path in modules.items()}
    packages = {module for module, path in modules.items() if path.name == "__init__.py"}
    # Whoever imports a module names its packages on the way; they are no arrows unless something is taken from them.
    for module, names in arrows.items():
        arrows[module] = {name for name in names if name not in packages or not any(n.startswith(f"{name}.") for n in names)}
    TopologicalSorter(arrows).prepare()


@pytest.mark.parametrize("library", HOMES)
def test_libraries_stay_in_their_rooms(library: str) -> None:
    wrong = {
        str(path.relative_to(ROOT))
        for package in ("models", "server", "training", "scoring", "exporting", "headstart")
        for path in sources(package)
        if any(name.partition(".")[0] == library for name in imports(path))
        and not str(path.relative_to(ROOT)).startswith(tuple(HOMES[library]))
    }
    assert not wrong


def test_torch_stays_out_of_the_serving_path() -> None:
    """Engines import torch only when they are asked for what needs it."""
    paths = [ROOT / "models/engine.py", *(ROOT / "models/runtimes").glob("*.py")]
    at_once = [
        statement
        for path in paths
        for statement in ast.parse(path.read_text()).body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
    ]
    named = {
        name
        for statement in at_once
        for node in ast.walk(statement)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert "torch" in {name.partition(".")[0] for path in paths for name in imports(path)}
    assert not {name for name in named if name.partition(".")[0] == "torch"}
