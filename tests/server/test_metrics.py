"""What `/metrics` tells an operator, read with Prometheus' own parser and held against what is known otherwise."""

import os
import shutil
import sqlite3
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.parser import text_string_to_metric_families

from models.bundle import PAPER_BUNDLE
from server.process_metrics import fold_ended
from tests.helpers.databases import kind
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 2**40), min_size=1), min_size=1, max_size=6))
def test_counters_of_ended_processes_stay_in_the_sum_and_their_files_go(counted: list[dict[str, int]]) -> None:
    with TemporaryDirectory() as folder:
        names = [f"counter_{os.getpid()}.db", *(f"counter_{2**22 + number}.db" for number in range(len(counted) - 1))]
        sums: Counter[str] = Counter()
        for name, counts in zip(names, counted, strict=True):
            written = MmapedDict(str(Path(folder, name)))  # type: ignore[no-untyped-call]
            for key, value in counts.items():
                written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
            written.close()  # type: ignore[no-untyped-call]
            sums.update(counts)
            fold_ended(Path(folder))
        assert {file.name for file in Path(folder).iterdir()} <= {names[0], "counter_ended.db"}
        left: Counter[str] = Counter()
        for file in Path(folder).iterdir():
            left.update({key.strip(): value for key, value, *_ in MmapedDict.read_all_values_from_file(file)})  # type: ignore[no-untyped-call]
        assert left == sums


def scrape(api: httpx.Client) -> Values:
    families = text_string_to_metric_families(api.get("/metrics").text)
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for family in families for each in family.samples}


def test_metrics_tell_of_process_build_disk_tasks_bundles_and_refreshes(
    server: ServerProcess, api: httpx.Client, support: Labelled
) -> None:
    of_bundle = (("backbone", PAPER_BUNDLE),)
    before = scrape(api).get(("headstart_tasks", of_bundle), 0)
    task = create(api, support)["id"]
    refreshed = api.post("/v1/refreshes", json={"to": PAPER_BUNDLE, "tasks": [task]}).json()["id"]
    api.post(f"/v1/refreshes/{refreshed}/cancel")
    found = scrape(api)
    assert found["headstart_tasks", of_bundle] == before + 1
    assert any(name == "headstart_backbone_open" and of_bundle[0] in labels for name, labels in found)
    states = {labels[0][1]: value for (name, labels), value in found.items() if name == "headstart_refreshes"}
    assert sum(states.values()) >= 1
    assert states.keys() <= {"running", "paused", "cancelled", "finished", "failed", "rolling_back", "rolled_back"}
    (build,) = (dict(labels) for name, labels in found if name == "headstart_build_info")
    assert build["version"] == version("headstart-server")
    assert build["sqlite"] == sqlite3.sqlite_version
    process = psutil.Process(server.process.pid)
    assert found["process_resident_memory_bytes", ()] == pytest.approx(process.memory_info().rss, rel=0.2)
    assert found["process_open_fds", ()] > 5
    if kind() == "sqlite":
        assert found["headstart_disk_free_bytes", ()] == pytest.approx(shutil.disk_usage(server.log_path.parent).free, rel=0.1)
    else:
        assert ("headstart_disk_free_bytes", ()) not in found, "the disk is another machine's"
    assert found["headstart_store_bytes", (("file", "database"),)] > 4096
    assert any(name == "python_info" for name, _ in found)
