"""Forgetting, over real HTTP: what is removed for good is in no version, in no answer and in no file, while the server runs."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from headstart import Client, ImageNotKept
from models.bundle import open_bundle
from models.heads.fitting import fit_head
from models.heads.head import BackboneRef, EmbeddingSpace, Head
from server.journeys.active_task import find_task
from server.journeys.adapt import create_task
from server.journeys.support_set import LabelledImage
from server.schemas.requests import TaskOptions
from server.service import Service
from server.settings import Settings
from server.store.records import TaskKey
from server.store.tables import embeddings, examples, replays, versions
from tests.helpers.bundles import SMALL
from tests.helpers.databases import contents_of, database_url, statements_in
from tests.helpers.images import encode, noise
from tests.helpers.leftovers import found_in
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess, give_up_erasing_soon
from tests.helpers.uploads import create, multipart, predict


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forgetting") / "data"


@pytest.fixture(scope="module")
def server(data_dir: Path, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(data_dir, *small_flags) as process:
        yield process
        assert process.stop() == 0, process.log()


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def unique(count: int, seed: int, size: int = 32) -> Labelled:
    """Examples of two classes that share no piece of their files."""
    return [("cat" if i % 2 else "dog", encode(noise(size, size, seed=1000 * seed + i))) for i in range(count)]


def ids(api: httpx.Client, task: str) -> list[str]:
    """Of the active version's examples, in the order in which they were sent."""
    return [example["id"] for example in api.get(f"/v1/tasks/{task}/examples", params={"limit": 1000}).json()["examples"]]


def numbers(api: httpx.Client, task: str) -> list[int]:
    return [version["version"] for version in api.get(f"/v1/tasks/{task}/versions").json()["versions"]]


def forget(api: httpx.Client, task: str, example: str) -> httpx.Response:
    return api.delete(f"/v1/tasks/{task}/examples/{example}", params={"forget": True})


def forgotten(api: httpx.Client, task: str, example: str) -> dict[str, Any]:
    response = forget(api, task, example)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def stored(data_dir: Path, query: Any) -> list[Any]:
    """What a query of the server's tables finds in its database."""
    with statements_in(data_dir) as connection:
        return list(connection.execute(query).all())


def embeddings_of(data_dir: Path, task: str) -> dict[str, bytes]:
    """The embedding of each example, by its id."""
    query = select(embeddings.c.example, embeddings.c.embedding).where(embeddings.c.task == task)
    return {row.example: row.embedding for row in stored(data_dir, query)}


def refit_from(data_dir: Path, task: str, small_bundles: Path) -> tuple[bytes, bytes]:
    """The active head as it is stored, and one fitted here on the embeddings of its examples as they are stored."""
    row = stored(data_dir, select(versions).where(versions.c.task == task).order_by(versions.c.number.desc()))[0]
    labels = dict(stored(data_dir, select(examples.c.id, examples.c.label).where(examples.c.task == task)))
    vectors = embeddings_of(data_dir, task)
    bundle = open_bundle(small_bundles.joinpath(*SMALL.split("@")))
    space = EmbeddingSpace(BackboneRef(row.bundle, row.backbone_sha256), bundle.feature_mean)
    fresh = fit_head(
        np.stack([np.frombuffer(vectors[example], "<f4") for example in row.examples]),
        [labels[example] for example in row.examples],
        space,
        Head.from_bytes(row.head).options,
    )
    return row.head, fresh.to_bytes()


@contextmanager
def reading(data_dir: Path) -> Iterator[None]:
    """Another program, which reads the database as it is now."""
    with closing(sqlite3.connect(f"file:{data_dir / 'headstart.db'}?mode=ro", uri=True, isolation_level=None)) as program:
        program.execute("BEGIN")
        program.execute("SELECT count(*) FROM examples").fetchone()
        yield


@contextmanager
def readers(server: ServerProcess, task: str, image: bytes) -> Iterator[None]:
    """Clients that predict, list, and fetch images without a pause; each of their requests must succeed."""
    done = threading.Event()
    failures: list[str] = []

    def read() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as api:
            while not done.is_set():
                answers = (
                    api.post(f"/v1/tasks/{task}/predict", content=image, headers={"Content-Type": "image/png"}),
                    api.get(f"/v1/tasks/{task}/examples"),
                    api.get(f"/v1/tasks/{task}/versions"),
                )
                failures.extend(answer.text for answer in answers if answer.status_code != 200)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures


class TestFiles:
    def test_no_file_holds_a_forgotten_example_while_others_read(
        self, server: ServerProcess, api: httpx.Client, data_dir: Path
    ) -> None:
        given = unique(8, seed=1) + unique(2, seed=2, size=200)  # of a page and of many
        task = create(api, given)["id"]
        listed = ids(api, task)
        api.post(f"/v1/tasks/{task}/examples", **multipart(unique(2, seed=3)))
        with readers(server, task, given[0][1]):
            for position in (9, 0, 3):
                gone = [given[position][1], embeddings_of(data_dir, task)[listed[position]]]
                assert found_in(data_dir, gone) == 2
                forgotten(api, task, listed[position])
                assert found_in(data_dir, gone) == 0
        kept = [image for position, (_, image) in enumerate(given) if position not in {9, 0, 3}]
        assert found_in(data_dir, kept) == len(kept)

    def test_no_file_holds_what_the_file_of_a_forgotten_example_was_called(self, api: httpx.Client, data_dir: Path) -> None:
        given = unique(6, seed=21)
        names = [f"Jane Doe, passport {number:03}, of the year {2000 + number}.png" for number in range(40)]
        images = [("images", (name, image)) for name, (_, image) in zip(names, given * 7, strict=False)]
        labels = [label for label, _ in given * 7][:40]

        def held() -> list[str]:
            everything = b"".join(contents_of(data_dir))
            return [name for name in names if name.encode() in everything]

        task = api.post("/v1/tasks", files=images, data={"labels": labels}, headers={"Idempotency-Key": "of names"}).json()["id"]
        assert held() == names
        listed = ids(api, task)
        for position in range(0, 40, 3):
            forgotten(api, task, listed[position])
            assert names[position] not in held()
        assert held() == [name for position, name in enumerate(names) if position % 3]
        assert api.delete(f"/v1/tasks/{task}").status_code == 204
        assert held() == []

    def test_no_file_holds_a_deleted_task_while_others_read(
        self, server: ServerProcess, api: httpx.Client, data_dir: Path, queries: Labelled
    ) -> None:
        other = create(api, unique(4, seed=4))["id"]
        with readers(server, other, queries[0][1]):
            for seed in (5, 6):
                given = unique(6, seed)
                task = create(api, given)["id"]
                (row,) = stored(data_dir, select(versions.c.head).where(versions.c.task == task))
                head = Head.from_bytes(row.head).weight.tobytes()
                gone = [*(image for _, image in given), *embeddings_of(data_dir, task).values(), head]
                assert found_in(data_dir, gone) == len(gone)
                assert api.delete(f"/v1/tasks/{task}").status_code == 204
                assert found_in(data_dir, gone) == 0

    @pytest.mark.sqlite("a reader keeps its log from being cleared")
    def test_what_a_reader_holds_back_is_told_and_erased_when_asked_again(
        self, tmp_path: Path, small_flags: tuple[str, ...]
    ) -> None:
        given = unique(4, seed=7)
        folder = tmp_path / "data"
        with (
            ServerProcess(folder, *small_flags, prepare=give_up_erasing_soon) as process,
            httpx.Client(base_url=process.url, timeout=60) as api,
        ):
            task = create(api, given)["id"]
            example = ids(api, task)[0]
            with reading(folder):
                for answer in (forget(api, task, example), forget(api, task, example)):
                    assert (answer.status_code, answer.json()["code"]) == (503, "erasure_pending")
                    assert answer.headers["retry-after"] == "5"
                assert example not in ids(api, task)
                assert found_in(folder, [given[0][1]]) == 1
            again = forget(api, task, example)
            assert (again.status_code, again.json()["code"]) == (404, "example_not_found")
            assert found_in(folder, [given[0][1]]) == 0

    @pytest.mark.sqlite("a reader keeps its log from being cleared")
    def test_a_server_that_was_killed_before_it_erased_does_so_when_it_starts(
        self, tmp_path: Path, small_flags: tuple[str, ...]
    ) -> None:
        given = unique(4, seed=8)
        folder = tmp_path / "data"
        with (
            ServerProcess(folder, *small_flags, prepare=give_up_erasing_soon) as process,
            httpx.Client(base_url=process.url, timeout=60) as api,
        ):
            task = create(api, given)["id"]
            with reading(folder):
                assert api.delete(f"/v1/tasks/{task}").status_code == 503
                process.kill()
        assert found_in(folder, [image for _, image in given]) == 4
        with ServerProcess(folder, *small_flags):
            assert found_in(folder, [image for _, image in given]) == 0

    def test_kept_answers_hold_nothing_of_it(self, api: httpx.Client, data_dir: Path) -> None:
        given = unique(4, seed=9)
        task = api.post("/v1/tasks", **multipart(given), headers={"Idempotency-Key": "forgetting-1"}).json()["id"]
        path, body, key = (
            f"/v1/tasks/{task}/examples",
            multipart([("Jane Doe", given[0][1])]),
            {"Idempotency-Key": "forgetting-2"},
        )
        for _ in range(2):
            assert api.post(path, **body, headers=key).json()["version"] == 2
        forgotten(api, task, ids(api, task)[-1])
        answer = api.post(path, **body, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (410, "answer_forgotten")
        assert api.get(f"/v1/tasks/{task}").json()["version"] == 3
        kept = stored(data_dir, select(replays.c.fingerprint, replays.c.body).where(replays.c.task == task))
        assert kept == [("", "")] * 2
        assert b"Jane Doe" not in b"".join(contents_of(data_dir))


class TestVersions:
    def test_every_version_fitted_with_it_goes_and_no_number_comes_again(self, api: httpx.Client) -> None:
        task = create(api, unique(4, seed=10))["id"]
        path = f"/v1/tasks/{task}"
        assert api.post(f"{path}/examples", **multipart(unique(1, seed=11))).json()["version"] == 2
        added = ids(api, task)[-1]
        assert api.post(f"{path}/examples", **multipart(unique(1, seed=12))).json()["version"] == 3
        after = forgotten(api, task, added)
        assert (after["version"], sum(c["examples"] for c in after["classes"])) == (4, 5)
        assert after["timing_ms"].keys() == {"fit", "store", "total"}
        assert numbers(api, task) == [4, 1]
        assert api.patch(path, json={"active_version": 3}).json()["code"] == "version_not_found"
        assert api.patch(path, json={"active_version": 1}).json()["version"] == 1

        newest = ids(api, task)[0]
        forgotten(api, task, newest)
        assert numbers(api, task) == [5]
        assert api.post(f"{path}/examples", **multipart(unique(1, seed=13))).json()["version"] == 6
        newest = ids(api, task)[-1]
        assert api.patch(path, json={"active_version": 5}).status_code == 200
        assert forgotten(api, task, newest)["version"] == 5
        assert api.post(f"{path}/examples", **multipart(unique(1, seed=14))).json()["version"] == 7

    def test_an_example_removed_before_can_be_forgotten(self, api: httpx.Client, data_dir: Path) -> None:
        given = unique(5, seed=15)
        task = create(api, given)["id"]
        example = ids(api, task)[1]
        gone = [given[1][1], embeddings_of(data_dir, task)[example]]
        before = api.delete(f"/v1/tasks/{task}/examples/{example}").json()
        assert found_in(data_dir, gone) == 2
        after = forgotten(api, task, example)
        assert (after["version"], after["classes"]) == (2, before["classes"])
        assert numbers(api, task) == [2]
        assert found_in(data_dir, gone) == 0
        assert forget(api, task, example).json()["code"] == "example_not_found"
        assert forget(api, "task_0", example).json()["code"] == "task_not_found"

    def test_an_example_that_no_version_has_any_more_goes_as_well(self, api: httpx.Client, data_dir: Path) -> None:
        given = unique(6, seed=18)
        task = create(api, given[:4])["id"]
        api.post(f"/v1/tasks/{task}/examples", **multipart(given[4:]))
        first, second = ids(api, task)[4:]
        gone = [given[5][1], embeddings_of(data_dir, task)[second]]
        api.delete(f"/v1/tasks/{task}/examples/{second}")
        forgotten(api, task, first)
        assert numbers(api, task) == [4, 1]
        assert found_in(data_dir, gone) == 0
        assert forget(api, task, second).json()["code"] == "example_not_found"

    def test_the_last_example_of_the_second_class_goes_with_the_task(self, api: httpx.Client) -> None:
        task = create(api, unique(2, seed=16))["id"]
        refused = forget(api, task, ids(api, task)[0]).json()
        assert refused["code"] == "too_few_classes"
        assert "delete the task" in refused["detail"]
        assert len(ids(api, task)) == 2

    def test_predictions_go_on_while_versions_come_and_go(
        self, server: ServerProcess, api: httpx.Client, queries: Labelled
    ) -> None:
        task = create(api, unique(4, seed=17))["id"]
        with readers(server, task, queries[0][1]):
            for seed in range(20, 40):
                api.post(f"/v1/tasks/{task}/examples", **multipart(unique(1, seed)))
                forgotten(api, task, ids(api, task)[-1])

    def test_a_version_forgotten_between_two_look_ups_is_answered_by_the_next(
        self, tmp_path: Path, small_bundles: Path, support: Labelled, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service = Service(
            Settings(
                data_dir=tmp_path / "data",
                database_url=database_url(tmp_path / "data"),
                bundles_dir=small_bundles,
                bundle=SMALL,
                engine="onnx",
            )
        )
        given = [LabelledImage(label, image) for label, image in support]
        load = service.heads.load

        def late(key: TaskKey, version: int) -> Head:
            if version == 1:
                example = service.store.examples.support(key, 1).ids[0]
                service.store.tasks.forget_example(key, 1, example, service.store.tasks.head(key, 1))
            return load(key, version)

        async def look_up() -> int:
            task = await create_task(service, "default", None, TaskOptions(), given, None)
            key = TaskKey("default", task.id)
            service.heads.drop(key, [1])
            monkeypatch.setattr(service.heads, "load", late)
            return (await find_task(service, key)).version

        try:
            assert asyncio.run(look_up()) == 2
        finally:
            service.close()

    def test_heads_of_removed_versions_leave_memory(self, api: httpx.Client, queries: Labelled) -> None:
        def in_memory() -> float:
            line = next(line for line in api.get("/metrics").text.splitlines() if line.startswith("headstart_active_heads "))
            return float(line.split()[1])

        before = in_memory()
        task = create(api, unique(5, seed=18))["id"]
        api.post(f"/v1/tasks/{task}/examples", **multipart(unique(1, seed=19)))
        assert in_memory() == before + 2
        forgotten(api, task, ids(api, task)[0])
        assert in_memory() == before + 1
        predict(api, task, [queries[0][1]])
        api.delete(f"/v1/tasks/{task}")
        assert in_memory() == before

    def test_changes_of_one_task_at_once_leave_it_whole(self, api: httpx.Client, server: ServerProcess) -> None:
        task = create(api, unique(12, seed=41))["id"]
        listed = ids(api, task)

        def change(position: int) -> int:
            with httpx.Client(base_url=server.url, timeout=60) as client:
                if position % 2:
                    return client.post(f"/v1/tasks/{task}/examples", **multipart(unique(1, seed=50 + position))).status_code
                return forget(client, task, listed[position]).status_code

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(change, range(8)))
        assert set(answers) <= {200, 201, 409}
        kept = [listed[position] for position in range(12) if position not in {0, 2, 4, 6} or answers[position] == 409]
        now = ids(api, task)
        assert [example for example in now if example in listed] == kept
        assert len(now) == len(kept) + answers.count(201)
        assert len(numbers(api, task)) >= 1


class TestHeads:
    @given(
        count=st.integers(3, 9),
        pick=st.integers(0, 8),
        seed=st.integers(60, 10_000),
        solver=st.sampled_from(["logistic", "ridge"]),
    )
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_what_is_left_is_byte_for_byte_the_head_of_a_fresh_fit(
        self, api: httpx.Client, data_dir: Path, small_bundles: Path, count: int, pick: int, seed: int, solver: str
    ) -> None:
        """Labels go round, so that any one example may go."""
        given = [(f"class {i % max(2, count // 2)}", image) for i, (_, image) in enumerate(unique(count, seed))]
        given.append((given[pick % count][0], unique(1, seed + 1)[0][1]))
        task = create(api, given, options=f'{{"solver": "{solver}"}}')["id"]
        forgotten(api, task, ids(api, task)[pick % count])
        left, fresh = refit_from(data_dir, task, small_bundles)
        assert left == fresh

    def test_it_answers_as_a_task_that_never_had_the_example(
        self, api: httpx.Client, support: Labelled, queries: Labelled
    ) -> None:
        """To rounding: the images of the two creations are embedded in batches of different sizes."""
        task = create(api, support)["id"]
        forgotten(api, task, ids(api, task)[7])
        never = create(api, support[:7] + support[8:])["id"]
        images = [image for _, image in queries]
        for one, other in zip(predict(api, task, images), predict(api, never, images), strict=True):
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)


class TestWithoutImages:
    def test_only_embeddings_are_stored_from_then_on(
        self, tmp_path: Path, small_flags: tuple[str, ...], queries: Labelled
    ) -> None:
        folder, given, more, later = tmp_path / "data", unique(6, seed=42), unique(2, seed=43), unique(1, seed=44)
        with ServerProcess(folder, *small_flags, "--keep-images=false") as process, Client(process.url) as client:
            task = client.create_task("blind", given).id
            assert client.add_examples(task, more).examples == 8
            listed = list(client.examples(task))
            assert [(each.image_kept, each.sha256, each.bytes) for each in listed] == [
                (False, None, len(image)) for _, image in given + more
            ]
            with pytest.raises(ImageNotKept, match="--keep-images=false") as refused:
                client.example_image(task, listed[0].id)
            assert (refused.value.status, refused.value.code) == (404, "image_not_kept")
            assert client.remove_example(task, listed[0].id).version == 3
            assert client.predict(task, queries[0][1]).checked()
            assert found_in(folder, [image for _, image in given + more]) == 0
        with ServerProcess(folder, *small_flags, "--keep-images", "true") as process, Client(process.url) as client:
            client.add_examples(task, later)
            *before, last = client.examples(task)
            assert ({each.image_kept for each in before}, last.image_kept) == ({False}, True)
            assert client.example_image(task, last.id) == later[0][1]
            assert client.forget_example(task, listed[1].id).examples == 7
