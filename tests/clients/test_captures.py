"""Captured predictions in the client and on the command line, against a real server."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from headstart import CaptureNotFound, CaptureSetting, Client, Task
from headstart.__main__ import main
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess

QUERIES = [str(path) for path in sorted(SAMPLES.glob("query/*/*.jpg"))[::5]]

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("captures") / "data", *small_flags) as process:
        yield process


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)


@pytest.fixture
def task(client: Client, support: Labelled) -> Task:
    return client.create_task(None, support[::5] + support[1::5])


def test_the_client_sets_reviews_and_decides(client: Client, api: httpx.Client, task: Task) -> None:
    assert client.set_capture(task.id, keep="uncertain", limit=50).capture == CaptureSetting("uncertain", 50, 30)
    assert client.task(task.id).capture.limit == 50
    client.set_capture(task.id, keep="none")
    results = client.predict(task.id, QUERIES, remember=True).checked()
    ids = [result.id for result in results if result.id is not None]
    assert len(set(ids)) == len(QUERIES)
    assert client.predict(task.id, QUERIES[0]).checked()[0].id is None

    page = client.captures.list(task.id, order="newest", limit=100)
    assert page.raw == api.get(f"/v1/tasks/{task.id}/captures", params={"order": "newest", "limit": 100}).json()
    shown = [id_ for entry in page.captures for id_ in entry.ids]
    assert set(shown) <= set(ids)
    assert len(shown) + page.duplicates == page.total == len(ids)
    then = dict(zip(ids, results, strict=True))
    for entry in page.captures:
        assert (entry.answered.label, entry.answered.novelty) == (then[entry.id].label, then[entry.id].novelty)
        assert entry.image_kept
    assert client.captures.image(task.id, ids[0]) == Path(QUERIES[0]).read_bytes()
    first = client.captures.list(task.id, limit=1)
    if first.next_cursor:
        following = client.captures.list(task.id, limit=1, after=first.next_cursor)
        assert following.captures[0].id not in first.captures[0].ids

    changed = client.captures.resolve(task.id, {ids[0]: "new", ids[1]: "new"}, discard=ids[2])
    assert (changed.version, changed.classes[-1].label) == (2, "new")
    with pytest.raises(CaptureNotFound, match=ids[2]):
        client.captures.resolve(task.id, discard=[ids[2]])
    assert client.correct(task.id, ids[3], "other").version == 3
    assert client.captures.list(task.id).total == len(ids) - 4


def test_the_command_line_remembers_reviews_and_corrects(client: Client, task: Task, capsys: Printed) -> None:
    assert main(["capture", task.id, "--keep", "all", "--days", "3"]) == 0
    assert "Keeps all, at most 1000 captures, each for 3 days." in capsys.readouterr().out
    assert main(["predict", task.id, *QUERIES, "--remember", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    ids = [row["prediction"] for row in rows]
    assert main(["predict", task.id, QUERIES[0], "--remember"]) == 0
    assert "prediction_" in capsys.readouterr().out
    assert main(["predict", task.id, QUERIES[0], "--csv"]) == 0
    assert "prediction" not in capsys.readouterr().out

    assert main(["review", task.id, "--order", "newest"]) == 0
    printed = capsys.readouterr()
    assert "suggested" in printed.out
    assert "captures" in printed.err
    assert main(["--json", "review", task.id, "--limit", "1"]) == 0
    assert len(json.loads(capsys.readouterr().out)["captures"]) == 1
    decisions = ["--label", f"a=b={ids[0]}", "--discard", ids[1], "--none-of-these", ids[4]]
    assert main(["review", task.id, *decisions]) == 0
    assert client.task(task.id).negatives == 1
    assert "Decided about 3 captures" in capsys.readouterr().out
    assert main(["review", task.id, "--discard", ids[3]]) == 0
    assert "Decided about 1 capture in" in capsys.readouterr().out
    assert main(["correct", task.id, ids[2], "new"]) == 0
    assert {size.label for size in client.task(task.id).classes} >= {"a=b", "new"}
    assert main(["correct", task.id, ids[2], "new"]) == 1
    refused = capsys.readouterr().err
    assert ids[2] in refused
    assert "`headstart review TASK`" in refused
    assert main(["review", task.id, "--label", ids[3]]) == 2
    assert "LABEL=ID" in capsys.readouterr().err
