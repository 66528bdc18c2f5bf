"""The audit of a real server: who did what, in the table, in lines of JSON, and by the command beside the server."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from benchmarks.server_process import free_port
from server.app import ROUTES
from server.audit import Act, AuditRow
from server.audit_counts import MOST, AuditCounts
from server.http.audited import audited_of
from server.keys import id_of
from server.store.audit import Place
from server.store.store import Store
from tests.helpers.bundles import SMALL
from tests.helpers.databases import database_url, statements_in
from tests.helpers.images import encode, noise
from tests.helpers.open_inference import triton_request
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.uploads import create, multipart, queries

_IMAGES = [encode(noise(32, 32, seed=seed)) for seed in range(6)]
_EXAMPLES = [("catlabel", _IMAGES[0]), ("catlabel", _IMAGES[1]), ("doglabel", _IMAGES[2]), ("doglabel", _IMAGES[3])]
Row = dict[str, Any]
_NO_FILE = pytest.mark.sqlite("its file is not there")


def key_of(data_dir: Path, scope: str = "manage", tenant: str = "default") -> str:
    made = run_server("keys", "create", "--tenant", tenant, "--scope", scope, "--data-dir", str(data_dir), folder=data_dir.parent)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def audit(data_dir: Path, *arguments: str) -> list[Row]:
    """What `headstart-server audit` prints."""
    ended = run_server("audit", *arguments, "--data-dir", str(data_dir), folder=data_dir.parent)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def awaited(data_dir: Path, action: str, count: int = 1, *more: str) -> list[Row]:
    """The rows of an action, once there are so many: those behind the answers take a second."""
    deadline = time.monotonic() + 20
    while len(rows := audit(data_dir, "--action", action, *more)) < count:
        assert time.monotonic() < deadline, rows
        time.sleep(0.1)
    return rows


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit") / "data"


@pytest.fixture(scope="module")
def key(data_dir: Path) -> str:
    return key_of(data_dir)


@pytest.fixture(scope="module")
def server(data_dir: Path, key: str, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    assert key
    with ServerProcess(data_dir, *small_flags, "--audit-log", str(data_dir.parent / "audit.jsonl")) as process:
        yield process


@pytest.fixture
def api(server: ServerProcess, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60, headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def test_every_route_says_what_is_told_of_it() -> None:
    """Reviewed by hand: a route that is added must be added here. Whatever changes something says so by a name."""
    table: dict[str, set[str]] = {}
    for route in ROUTES:
        told = audited_of(route)
        table.setdefault(told.kind, set()).add(told.action)
        assert told.kind != "none" or route.methods == {"GET"}
    del table["none"]
    assert table == {
        "change": {
            *("task.create", "task.change", "task.delete", "examples.add", "example.relabel", "example.remove"),
            *("captures.resolve", "capture.correct", "backbone.default"),
            *(f"refresh.{action}" for action in ("begin", "pause", "resume", "cancel", "rollback")),
            *("key.create", "key.rotate", "key.revoke"),
        },
        "access": {
            "example.image",
            "capture.image",
            "task.archive",
            "task.classifier",
            "task.compare",
            "backbone.open",
            "backbone.close",
        },
        "use": {"task.predict", "tasks.predict", "tasks.list", "task.load", "task.unload"},
    }


def test_each_change_has_its_row_when_it_is_answered(api: httpx.Client, data_dir: Path, key: str) -> None:
    def told(response: httpx.Response) -> list[tuple[str, str | None, str]]:
        assert response.is_success, response.text
        with statements_in(data_dir) as database:
            found = text("SELECT tenant, key, count, action, object, result FROM audit WHERE request = :id ORDER BY number")
            rows = [tuple(row) for row in database.execute(found, {"id": response.headers["x-request-id"]})]
        assert {row[:3] for row in rows} == {("default", id_of(key), 1)}
        return [row[3:] for row in rows]

    made = api.post("/v1/tasks", **multipart(_EXAMPLES, name="secretname"))
    task = f"tasks/{made.json()['id']}"
    url = f"/v1/{task}"
    assert told(made) == [("task.create", task, "done")]
    assert told(api.post(f"{url}/examples", **multipart([("catlabel", _IMAGES[4])]))) == [("examples.add", task, "done")]
    example = api.get(f"{url}/examples").json()["examples"][0]["id"]
    renamed = api.patch(url, json={"name": "othername", "active_version": 1, "capture": {"keep": "all"}})
    assert told(renamed) == [
        ("task.rename", task, "done"),
        ("task.activate", f"{task}/versions/1", "done"),
        ("task.capture", task, "done"),
    ]
    assert told(api.patch(f"{url}/examples/{example}", json={"label": "doglabel"})) == [
        ("example.relabel", f"{task}/examples/{example}", "done")
    ]
    forgotten = api.delete(f"{url}/examples/{example}?forget=true")
    assert told(forgotten) == [("example.forget", f"{task}/examples/{example}", "done")]
    last = api.get(f"{url}/examples").json()["examples"][-1]["id"]
    assert told(api.delete(f"{url}/examples/{last}")) == [("example.remove", f"{task}/examples/{last}", "done")]
    begun = api.post("/v1/refreshes", json={"to": SMALL, "tasks": "all"})
    assert told(begun) == [("refresh.begin", f"refreshes/{begun.json()['id']}", "done")]
    fresh = api.post("/v1/keys", json={"scope": "predict"}).json()
    rotated = api.post(f"/v1/keys/{fresh['token']}/rotate")
    assert told(rotated) == [
        ("key.rotate", f"keys/{fresh['id']}", "done"),
        ("key.create", f"keys/{rotated.json()['id']}", "done"),
    ]
    assert told(api.delete(f"/v1/keys/{fresh['token']}")) == [("key.revoke", f"keys/{fresh['id']}", "done")]
    assert told(api.patch(f"/v1/backbones/{SMALL}", json={"default": True}))[0] == (
        "backbone.default",
        f"backbones/{SMALL}",
        "begun",
    )
    assert told(api.delete(url)) == [("task.delete", task, "done")]
    shown = json.dumps(audit(data_dir))
    for word in ("catlabel", "doglabel", "secretname", "othername", fresh["token"].split("_")[2]):
        assert word not in shown


def test_reads_of_images_are_told_and_repeats_are_not_a_row_each(api: httpx.Client, data_dir: Path) -> None:
    task = create(api, _EXAMPLES)["id"]
    example = api.get(f"/v1/tasks/{task}/examples").json()["examples"][0]["id"]
    for _ in range(50):
        assert api.get(f"/v1/tasks/{task}/examples/{example}/image").status_code == 200
    assert api.get(f"/v1/tasks/{task}/archive").status_code == 200
    assert awaited(data_dir, "task.archive")[-1]["object"] == f"tasks/{task}"
    rows = awaited(data_dir, "example.image")
    assert len(rows) <= 2
    assert {row["object"] for row in rows} == {f"tasks/{task}/examples/{example}"}


def test_refusals_are_told_without_what_the_path_says(api: httpx.Client, server: ServerProcess, data_dir: Path) -> None:
    token, manage = (api.post("/v1/keys", json={"scope": scope}).json() for scope in ("predict", "manage"))
    api.headers["Authorization"] = f"Bearer {manage['token']}"  # A refusal like one of a minute ago would only be counted.
    for _ in range(200):
        assert httpx.delete(f"{server.url}/v1/tasks/somebodys-name").status_code == 401
    weak = httpx.delete(f"{server.url}/v1/tasks/x", headers={"Authorization": f"Bearer {token['token']}"})
    assert weak.status_code == 403
    assert api.delete("/v1/tasks/somebodys-name", headers={"X-Request-ID": "somebodys-name"}).status_code == 404
    assert api.get("/v1/tasks/somebodys-name").status_code == 404
    rows = awaited(data_dir, "sign_in")
    assert len(rows) <= 2
    assert (rows[0]["tenant"], rows[0]["key"], rows[0]["result"]) == (None, None, "unauthenticated")
    for key, result in ((token["id"], "forbidden"), (manage["id"], "task_not_found")):
        (row,) = awaited(data_dir, "task.delete", 1, "--key", key)
        assert (row["result"], row["object"]) == (result, None)
    assert "somebodys-name" not in json.dumps(audit(data_dir))


def test_a_retry_that_changes_nothing_says_so(api: httpx.Client, data_dir: Path) -> None:
    asked: dict[str, Any] = {**multipart(_EXAMPLES), "headers": {"Idempotency-Key": "again"}}
    before = len(audit(data_dir, "--action", "task.create"))
    ids = {api.post("/v1/tasks", **asked).json()["id"] for _ in range(2)}
    assert len(ids) == 1
    assert [row["result"] for row in awaited(data_dir, "task.create", before + 2)[before:]] == ["done", "unchanged"]


def test_the_command_beside_the_server_selects(api: httpx.Client, data_dir: Path, key: str) -> None:
    theirs = key_of(data_dir, "write", "others")
    assert create(api, _EXAMPLES)
    (made,) = audit(data_dir, "--tenant", "others")
    assert (made["action"], made["object"], made["key"], made["request"]) == ("key.create", f"keys/{id_of(theirs)}", None, None)
    assert {row["action"] for row in audit(data_dir, "--action", "key.*")} >= {"key.create"}
    assert {row["key"] for row in audit(data_dir, "--key", str(id_of(key)))} == {id_of(key)}
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert audit(data_dir, "--since", f"{tomorrow:%Y-%m-%d}") == []
    everything = audit(data_dir, "--since", "2026-01-01")
    assert audit(data_dir, "--since", "1d") == audit(data_dir, "--since", "2h") == audit(data_dir, "--since", "30m") == everything
    assert [row["number"] for row in everything] == list(range(1, len(everything) + 1)), "in order, and without gaps"


def test_lines_follow_the_table_and_their_file_may_be_moved_away(api: httpx.Client, data_dir: Path) -> None:
    file, moved = data_dir.parent / "audit.jsonl", data_dir.parent / "audit.jsonl.1"
    create(api, _EXAMPLES)
    awaited(data_dir, "task.create")
    deadline = time.monotonic() + 20
    while not file.read_text().endswith(json.dumps(audit(data_dir)[-1]) + "\n"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines == audit(data_dir)[-len(lines) :]
    file.rename(moved)
    task = create(api, _EXAMPLES)["id"]
    while not (file.exists() and task in file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert file.stat().st_mode & 0o777 == 0o600


def test_predictions_are_counted_and_the_count_is_kept_at_the_end(tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    with ServerProcess(tmp_path / "data", *small_flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        task = create(api, _EXAMPLES)["id"]
        for _ in range(3):
            assert api.post(f"/v1/tasks/{task}/predict", **queries(_IMAGES[5:])).status_code == 200
        assert api.post(f"/v2/models/{task}.pixels/infer", **triton_request(noise(32, 32)[None])).status_code == 200
        assert api.post(f"/v2/models/{SMALL}.embedding/infer", **triton_request(_IMAGES[5:])).status_code == 200
        assert api.post("/v1/tasks/nobody/predict", **queries(_IMAGES[5:])).status_code == 404
        assert api.post("/v2/models/nobody/infer", **triton_request(_IMAGES[5:])).status_code == 404
        assert process.stop() == 0
    rows = audit(tmp_path / "data", "--action", "task.predict")
    assert {(row["object"], row["result"], row["count"]) for row in rows} == {
        (f"tasks/{task}", "done", 4),
        (None, "task_not_found", 2),
    }
    (embedded,) = audit(tmp_path / "data", "--action", "backbone.embed")
    assert (embedded["object"], embedded["result"]) == (f"backbones/{SMALL}", "done")
    assert {(row["tenant"], row["key"], row["request"]) for row in rows} == {("default", None, None)}


def test_rows_never_change_and_leave_only_when_they_are_old(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    rows = [AuditRow(now - timedelta(days=days), "a", None, f"act{days}", None, None, "done") for days in (400, 40, 20, 0)]
    with closing(Store.open(database_url(tmp_path))) as store:
        store.audit.add(rows)
        for statement in ("UPDATE audit SET key = 'x'", "DELETE FROM audit WHERE action = 'act20'", "DELETE FROM audit"):
            with pytest.raises(DBAPIError, match="rows of the audit"), statements_in(tmp_path) as tool:
                tool.execute(text(statement))
        assert [row.action for _, row in store.audit.after(Place())[0]] == ["act400", "act40", "act20", "act0"]
        store.audit.trim(30)
        assert store.audit.after(Place())[0] == list(zip((3, 4), rows[2:], strict=True)), "numbers stay"


@pytest.mark.postgresql
def test_rows_that_were_restored_from_another_server_are_not_told_as_new(tmp_path: Path) -> None:
    """Of a database that went on as a logical copy: the ids of its transactions begin again, and come to those of its rows."""
    row = AuditRow(datetime.now(UTC), "a", None, "new", None, None, "done")
    with closing(Store.open(database_url(tmp_path))) as store:
        with statements_in(tmp_path) as tool:
            restored = "SELECT now(), 'a', 'old', 'done', 1, pg_current_xact_id()::text::bigint + 5 FROM generate_series(1, 3)"
            tool.execute(text(f"INSERT INTO audit (time, tenant, action, result, count, transaction) {restored}"))
        place = store.audit.end()
        for _ in range(10):
            store.audit.add([row])
        found, place = store.audit.after(place)
        assert [each.action for _, each in found] == ["new"] * 10
        assert store.audit.after(place) == ([], place)


def test_what_fails_leaves_no_row_of_success(api: httpx.Client, data_dir: Path) -> None:
    """The row is of the transaction: where that is undone, so is the row."""
    before = len(audit(data_dir, "--action", "key.create"))
    refused = api.post("/v1/keys", json={"scope": "predict", "task": "task_none"})
    assert refused.status_code == 404
    (row,) = awaited(data_dir, "key.create", before + 1)[before:]
    assert (row["result"], row["object"]) == ("task_not_found", None)


def test_floods_make_no_more_rows_than_there_is_room_for() -> None:
    lost: list[int] = []
    counts = AuditCounts(lost.append)
    for number in range(MOST + 500):
        counts.tell(AuditRow(datetime.now(UTC), "t", "k", "example.image", f"o{number}", None, "done"))
    taken = counts.take()
    assert len(taken) == MOST
    counts.end_minute()
    (rest,) = counts.take()
    assert (rest.object, rest.count) == (None, 500)
    counts.put_back(taken)
    counts.put_back(taken[:7])
    assert lost == [7]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("IMG_1234.jpg", False), ("0" * 32, True), ("req_" + "0" * 26, True), ("anna", False), ("-" * 36, False)],
)
def test_request_ids_that_a_client_made_up_are_not_kept(given: str, kept: bool) -> None:
    (row,) = Act("t", None, given, "change", (("a", None),)).rows("done")
    assert row.request == (given if kept else None)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--since", "yesterday"), 2, "--since"),
        (("--since", "1w"), 2, "1d, 2h"),
        pytest.param((), 1, "there is no database", marks=_NO_FILE),
    ],
)
def test_what_the_command_cannot_do_is_said_in_a_line(
    tmp_path: Path, arguments: tuple[str, ...], status: int, message: str
) -> None:
    ended = run_server("audit", *arguments, "--data-dir", str(tmp_path / "none"), folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert message in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "none").exists()


def test_a_file_of_lines_that_cannot_be_written_stops_the_start(tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    flags = ("--audit-log", str(tmp_path / "no" / "file"), "--port", str(free_port()))
    ended = run_server(*small_flags, "--data-dir", str(tmp_path / "data"), *flags, folder=tmp_path)
    assert ended.returncode == 2
    assert re.search("audit-log: .* cannot be written", ended.stderr)
