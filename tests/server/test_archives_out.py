"""Archives of tasks over real HTTP: they come back as the task that they were made of, and never as half of one."""

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from models.heads.head import Head
from models.labels import clean_label
from server.http.bodies.archive import read_archive
from server.http.streaming import Streamed
from server.journeys.archive import _Window
from server.journeys.archive_names import Names
from server.settings import Settings
from tests.helpers.images import encode, noise
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import answers, as_archive, as_json, create, zip_of

STRANGE = [
    "/",
    "..",
    ".hidden",
    "CON",
    "con",
    "nul.txt",
    "__MACOSX",
    "Löwe",
    "löwe",
    "a\\b",
    "cat.",
    "🐦" * 128,
    "Thumbs.db",
    ".negatives",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("archives") / "data", *small_flags) as process:
        yield process
        assert process.stop() == 0, process.log()


def image(seed: int, side: int = 32) -> bytes:
    return encode(noise(side, side, seed=seed))


def fetched(api: httpx.Client, task: str) -> bytes:
    response = api.get(f"/v1/tasks/{task}/archive")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/zip"
    return response.content


def learned_again(api: httpx.Client, archive: bytes) -> dict[str, object]:
    response = api.post("/v1/tasks", files=[("archive", ("a.zip", archive))])
    assert response.status_code == 201, response.text
    body: dict[str, object] = response.json()
    return body


def test_it_gives_the_same_classifier_again(api: httpx.Client, support: Labelled, queries: Labelled) -> None:
    task = create(api, support, name="pets")
    again = learned_again(api, fetched(api, task["id"]))
    assert again["classes"] == task["classes"]
    asked = [query for _, query in queries]
    for before, after in zip(answers(api, task["id"], asked), answers(api, str(again["id"]), asked), strict=True):
        assert before["label"] == after["label"]
        assert after["scores"] == pytest.approx(before["scores"], abs=1e-5)


def test_labels_that_no_folder_can_have_come_back(api: httpx.Client) -> None:
    given_ = [(label, image(100 + i)) for i, label in enumerate(STRANGE)]
    task = api.post("/v1/tasks", **as_json(given_)).json()
    archive = fetched(api, task["id"])
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for name in opened.namelist():
            assert all(0 < len(part.encode()) <= 255 and part not in {".", ".."} for part in name.split("/"))
            assert not set('\\:*?"<>|') & set(name)
        folders = [name.split("/")[0] for name in opened.namelist() if not name.startswith(".")]
        assert len({folder.casefold() for folder in folders}) == len(STRANGE)
    again = learned_again(api, archive)
    by_label = {each["label"]: each["sha256"] for each in api.get(f"/v1/tasks/{again['id']}/examples").json()["examples"]}
    assert by_label == {each["label"]: each["sha256"] for each in api.get(f"/v1/tasks/{task['id']}/examples").json()["examples"]}


def is_label(text: str) -> bool:
    try:
        clean_label(text)
    except ValueError:
        return False
    return True


@given(labels=st.lists(st.text(min_size=1, max_size=40).filter(is_label).map(clean_label), min_size=1, unique=True))
@settings(max_examples=100, deadline=None)
def test_any_label_is_read_back(labels: list[str]) -> None:
    names = Names()
    folders = {names.free(label): label for label in labels}
    members = [(f"{folder}/1.png", label.encode()) for folder, label in folders.items()]
    changed = {folder: label for folder, label in folders.items() if folder != label}
    archive = zip_of([*members, (".headstart/task.json", json.dumps({"folders": changed}, ensure_ascii=False).encode())])
    found = read_archive(io.BytesIO(archive), Settings()).images
    assert {(each.label, each.image) for each in found} == {(label, label.encode()) for label in labels}


@given(contents=st.lists(st.binary(max_size=5000), max_size=12))
def test_it_is_written_in_pieces_of_a_member_each(contents: list[bytes]) -> None:
    whole, window, pieces = io.BytesIO(), _Window(), []
    with zipfile.ZipFile(whole, "w") as one, zipfile.ZipFile(window, "w") as other:
        for i, content in enumerate(contents):
            one.writestr(zipfile.ZipInfo(f"cat/{i}.png"), content)
            other.writestr(zipfile.ZipInfo(f"cat/{i}.png"), content)
            pieces.append(window.take())
            assert len(pieces[-1]) <= len(content) + 100
    assert b"".join([*pieces, window.take()]) == whole.getvalue()


def test_names_differ_in_more_than_case() -> None:
    names = Names()
    given_ = ["A (2)", "a", "A", "\u0041\u030a", "Å", "a"]
    assert len({names.free(text).casefold() for text in given_}) == len(given_)


def test_nothing_more_is_made_for_a_reader_who_left() -> None:
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            await asyncio.sleep(0.001)
            yield b"piece"

    async def leave() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        """As the server's does, it takes whatever comes after the reader has left."""

    scope = {"type": "http", "method": "GET", "headers": []}
    asyncio.run(asyncio.wait_for(Streamed(endless(), "application/zip", {})(scope, leave, send), 30))
    assert asked


def test_what_is_in_it(api: httpx.Client) -> None:
    given_ = [("cat", image(1)), ("cat", image(2)), ("cat", image(3)), ("dog", image(4))]
    names = ["holiday/1.png", "1.PNG", "..", "1.jpg"]
    files = [("images", (name, content)) for name, (_, content) in zip(names, given_, strict=True)]
    files.append(("negatives", ("belt.png", image(5))))
    fields = {"labels": [label for label, _ in given_], "name": 'pets "of" /mine', "options": '{"C": 2}'}
    task = api.post("/v1/tasks", files=files, data=fields).json()
    response = api.get(f"/v1/tasks/{task['id']}/archive")
    disposition = response.headers["content-disposition"]
    assert disposition == f"attachment; filename=\"{task['id']}.zip\"; filename*=UTF-8''pets%20_of_%20_mine.zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        members = {name: archive.read(name) for name in archive.namelist()}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert not any(info.flag_bits & 8 for info in archive.infolist())  # sizes stand before the members
    example = next(each["id"] for each in api.get(f"/v1/tasks/{task['id']}/examples").json()["examples"] if not each["file_name"])
    assert {name: content for name, content in members.items() if not name.startswith(".headstart/")} == {
        "cat/1.png": image(1),
        "cat/1 (2).png": image(2),
        f"cat/{example}.png": image(3),
        "dog/1.png": image(4),
        ".negatives/belt.png": image(5),
    }
    told = json.loads(members[".headstart/task.json"])
    assert told.pop("folders") == {}
    head = Head.from_bytes(members[".headstart/head.safetensors"])
    assert told.pop("backbone_sha256") == head.backbone.sha256
    assert told.pop("options") == {"C": 2}
    assert told == api.get(f"/v1/tasks/{task['id']}").json()
    assert (head.labels, head.options.C) == (("cat", "dog"), 2)
    again = learned_again(api, response.content)
    assert (again["negatives"], again["head"]) == (1, task["head"])
    plain = zip_of([*((name, content) for name, content in members.items() if not name.startswith(".headstart/"))])
    assert learned_again(api, plain)["negatives"] == 0  # A hidden folder of an archive made elsewhere means nothing.


def test_a_folder_around_it_changes_nothing(api: httpx.Client) -> None:
    task = api.post("/v1/tasks", **as_json([("a/b", image(1)), ("..", image(2))])).json()
    with zipfile.ZipFile(io.BytesIO(fetched(api, task["id"]))) as archive:
        around = [(f"pets/{name}", archive.read(name)) for name in archive.namelist()]
    again = learned_again(api, zip_of(around))
    assert {each["label"] for each in api.get(f"/v1/tasks/{again['id']}/examples").json()["examples"]} == {"a/b", ".."}


@pytest.mark.parametrize("told", [b"{", b'{"folders": ["a"]}', b"[]", b'{"folders": {"a": 1}}', b"\xff"])
def test_a_description_that_cannot_be_read_is_refused(api: httpx.Client, told: bytes) -> None:
    members = [("a/1.png", image(1)), ("b/1.png", image(2)), (".headstart/task.json", told)]
    refused = api.post("/v1/tasks", **as_archive(members))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_archive")


def test_a_description_is_not_trusted(api: httpx.Client) -> None:
    for label, code in (("", "invalid_label"), ("x" * 129, "invalid_label"), ("a\nb", "invalid_label")):
        told = json.dumps({"folders": {"a": label}}).encode()
        members = [("a/1.png", image(1)), ("b/1.png", image(2)), (".headstart/task.json", told)]
        refused = api.post("/v1/tasks", **as_archive(members))
        assert (refused.status_code, refused.json()["code"]) == (422, code)
    large = [*members[:2], (".headstart/task.json", b" " * 4_000_001)]
    assert api.post("/v1/tasks", **as_archive(large)).json()["code"] == "limit_exceeded"


def test_an_unknown_task_and_images_that_were_not_kept(api: httpx.Client, tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    assert api.get("/v1/tasks/task_none/archive").json()["code"] == "task_not_found"
    assert api.get("/v1/tasks/task_none/archive", params={"version": 1}).json()["code"] == "invalid_request"
    flags = (*small_flags, "--keep-images=false")
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url) as other:
        task = create(other, [("cat", image(1)), ("dog", image(2))])
        assert other.get(f"/v1/tasks/{task['id']}/archive").json()["code"] == "image_not_kept"


@pytest.mark.parametrize("forget", [False, True])
def test_what_is_removed_meanwhile_cuts_it_off(api: httpx.Client, server: ServerProcess, forget: bool) -> None:
    task = create(api, [(label, image(10 * i + k, side=700)) for i, label in enumerate(("cat", "dog")) for k in range(6)])["id"]
    last = api.get(f"/v1/tasks/{task}/examples").json()["examples"][-1]["id"]
    with httpx.Client(base_url=server.url, timeout=60) as reader, reader.stream("GET", f"/v1/tasks/{task}/archive") as response:
        pieces = response.iter_raw(1000)
        read = [next(pieces)]  # The rest waits: it does not fit into the buffers of the connection.
        gone = (
            api.delete(f"/v1/tasks/{task}/examples/{last}", params={"forget": True})
            if forget
            else api.delete(f"/v1/tasks/{task}")
        )
        assert gone.is_success
        with pytest.raises(httpx.RemoteProtocolError):
            read.extend(pieces)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(read)))
    code = "example_not_found" if forget else "task_not_found"
    assert f"a reply was cut off: {code}" in server.log()
    assert "Traceback" not in server.log()


def test_a_reader_who_leaves_stops_the_reading(api: httpx.Client, server: ServerProcess) -> None:
    task = create(api, [(label, image(20 + 10 * i + k, side=700)) for i, label in enumerate(("cat", "dog")) for k in range(6)])[
        "id"
    ]
    before = len(server.log())
    with httpx.Client(base_url=server.url) as reader, reader.stream("GET", f"/v1/tasks/{task}/archive") as response:
        next(response.iter_raw(1000))
    path = f"/v1/tasks/{task}/archive"
    while path not in server.log()[before:]:  # The request has ended, since its line is written.
        assert api.get("/healthz").is_success
    assert "Traceback" not in server.log()
    assert zipfile.ZipFile(io.BytesIO(fetched(api, task))).testzip() is None
