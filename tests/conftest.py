"""Fixtures that many tests share: a running server, and real images of novel classes."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from models.bundle import PAPER_BUNDLE, SHIPPED, find_bundles
from tests.servers import ROOT, ServerProcess

Labelled = list[tuple[str, bytes]]

SAMPLES = ROOT / "clients" / "samples"


def read_samples(part: str) -> Labelled:
    return [(path.parent.name, path.read_bytes()) for path in sorted((SAMPLES / part).glob("*/*.png"))]


@pytest.fixture(scope="session")
def support() -> Labelled:
    """5 images of each of five novel classes: (label, encoded image)."""
    return read_samples("support")


@pytest.fixture(scope="session")
def queries() -> Labelled:
    """10 further images of each of the same classes."""
    return read_samples("query")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that many tests use; what they leave in it must not matter to others."""
    with ServerProcess(tmp_path_factory.mktemp("server") / "data") as process:
        yield process
        assert process.stop() == 0, process.log()


@pytest.fixture
def api(server: ServerProcess) -> Iterator[httpx.Client]:
    """An HTTP client of `server`."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def shipped_bundle() -> Path:
    """The folder of the shipped bundle that tests' servers use, whose network is small."""
    return find_bundles(SHIPPED)[PAPER_BUNDLE]
