"""Fixtures that many tests share: a running server, and real images for it to learn and to recognise."""

import gc
import signal
import ssl
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import cast

import httpx
import pytest
from hypothesis import HealthCheck, settings

from headstart import Client
from models.bundle import PAPER_BUNDLE, SHIPPED, find_bundles, read_manifest
from tests.helpers import databases
from tests.helpers.bundles import SMALL, small_bundle
from tests.helpers.images import encode
from tests.helpers.object_stores import S3Server
from tests.helpers.samples import Labelled, part_of, read_samples, shrunk
from tests.helpers.servers import FAST_ENGINE, ServerProcess

# Shells let background jobs ignore Ctrl-C, tests among them, and then whatever these start would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# httpx reads the certificate authorities for every client, which takes 20 ms; no test speaks TLS.
ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]

# A test that runs in each database is called by two instances of its class, and shares nothing between them.
settings.register_profile("all", suppress_health_check=[HealthCheck.differing_executors])
settings.register_profile("quick", settings.get_profile("all"), max_examples=10)  # for `make test-quick`
settings.load_profile("all")

_SLOW_SECONDS = 1200
_LONGEST = {  # files of a third of a minute and more, which come first so that no worker is left with one at the end
    "test_capture_store",
    "test_captures",
    "test_command_lines",
    "test_commands",
    "test_compare",
    "test_concurrency",
    "test_database",
    "test_database_twins",
    "test_documents",
    "test_float16",
    "test_folded",
    "test_importing",
    "test_keys",
    "test_laboratory",
    "test_migrate",
    "test_on_ray",
    "test_quality",
    "test_ray_data",
    "test_refresh_store",
    "test_refreshes",
    "test_replicas",
    "test_running_bundles",
    "test_search",
    "test_shared_engine",
    "test_shutdown",
    "test_store",
    "test_tenant_twins",
    "test_trainer_cli",
    "test_workers",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the choice of the database."""
    parser.addoption("--database", choices=["sqlite", "postgresql"], default="sqlite", help="where tests' stores are")


def pytest_configure(config: pytest.Config) -> None:
    """Fixtures that several tests share have their stores in the chosen database too."""
    databases.begin_in(config.getoption("--database"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked `each_database` run in both databases, unless PostgreSQL is asked for."""
    if metafunc.definition.get_closest_marker("each_database") and metafunc.config.getoption("--database") == "sqlite":
        kinds = ["sqlite"] if metafunc.definition.get_closest_marker("sqlite") else ["sqlite", "postgresql"]
        metafunc.parametrize("database", kinds, indirect=True)


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest) -> Iterator[databases.Kind]:
    """Where the stores of the test are: sqlite or postgresql."""
    asked = "postgresql" if request.node.get_closest_marker("postgresql") else request.config.getoption("--database")
    kind = cast(databases.Kind, getattr(request, "param", asked))
    with databases.stores_in(kind):
        yield kind


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """No garbage is looked for while tests are collected, nor later in what that made, which stays until the end."""
    gc.disable()
    collected = yield
    gc.collect()
    gc.freeze()
    gc.enable()
    return collected


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests get more time, and the longest files come first.

    Those about SQLite itself do not run in PostgreSQL.
    """
    if config.getoption("--database") == "postgresql":
        left_out = [item for item in items if item.get_closest_marker("sqlite")]
        items[:] = [item for item in items if not item.get_closest_marker("sqlite")]
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=lambda item: item.path.stem not in _LONGEST and item.path.parent.stem != "web")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(_SLOW_SECONDS))


@pytest.fixture(autouse=True)
def _threads_of_torch() -> Iterator[None]:
    """PyTorch keeps to one thread in each worker. An engine sets more, for the whole process."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def support() -> Labelled:
    """5 images of each of five novel classes: (label, encoded image)."""
    return [(label, encode(shrunk(photograph))) for label, photograph in read_samples("support")]


@pytest.fixture(scope="session")
def queries() -> Labelled:
    """10 further images of each of the same classes: 5 photographs, and a part of each."""
    samples = read_samples("query")
    return [
        (label, encode(view(photograph)))
        for first in range(0, len(samples), 5)
        for view in (shrunk, part_of)
        for label, photograph in samples[first : first + 5]
    ]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that many tests use; what they leave in it must not matter to others."""
    with ServerProcess(tmp_path_factory.mktemp("server") / "data", "--engine", FAST_ENGINE) as process:
        yield process
        assert process.stop() == 0, process.log()


@pytest.fixture
def api(server: ServerProcess) -> Iterator[httpx.Client]:
    """An HTTP client of `server`."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    """The Python client of `server`."""
    with Client(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server with an empty bucket. The environment leads to it."""
    with S3Server(tmp_path_factory.mktemp("s3") / "files") as store, pytest.MonkeyPatch.context() as variables:
        for name, value in store.environment.items():
            variables.setenv(name, value)
        yield store


@pytest.fixture(scope="session")
def shipped_bundle() -> Path:
    """The folder of the shipped bundle that tests' servers use, whose network is small."""
    return find_bundles(SHIPPED)[PAPER_BUNDLE]


@pytest.fixture(scope="session")
def shipped(shipped_bundle: Path) -> str:
    """The id of that bundle."""
    return read_manifest(shipped_bundle).id


@pytest.fixture(scope="session")
def small_bundles(tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path) -> Path:
    """A folder with the bundle `SMALL`, which opens and embeds in no time, for tests to which it does not matter how well."""
    folder = tmp_path_factory.mktemp("small")
    assert small_bundle(shipped_bundle, folder, "small") == SMALL
    return folder


@pytest.fixture(scope="session")
def int8_bundles(tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path) -> Path:
    """A folder with the bundle `SMALL`, which has a file for `FAST_ENGINE` too, beside the shipped bundle."""
    folder = tmp_path_factory.mktemp("int8")
    assert small_bundle(shipped_bundle, folder, "small", int8=True) == SMALL
    return folder


@pytest.fixture(scope="session")
def small_flags(small_bundles: Path) -> tuple[str, ...]:
    """Flags of a server whose new tasks get the bundle `SMALL`."""
    return ("--bundles-dir", str(small_bundles), "--bundle", SMALL)
