"""Ray on this machine, for tests: it tells nobody that it runs, and leaves nothing behind."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import ray
import ray.data
from ray.cluster_utils import Cluster

_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
_MEMORY = 100 * 2**20


@contextmanager
def cluster(*nodes: Mapping[str, Any]) -> Iterator[Cluster]:
    """A cluster of nodes, each described as `Cluster.add_node` takes it. This process is at the first."""
    # The paths of sockets are at most 107 characters long.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        for name, value in (_ENVIRONMENT | {"RAY_TMPDIR": folder}).items():
            patch.setenv(name, value)
        started = Cluster()
        try:
            for node in nodes:
                started.add_node(**node, object_store_memory=_MEMORY, include_dashboard=False)
            ray.init(address=started.address, logging_level="ERROR")
            yield started
        finally:
            ray.shutdown()
            started.shutdown()
