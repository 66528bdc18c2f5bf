"""The blocking client and the asynchronous one: the same scenarios against a real server, and against one that fails."""

import inspect
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart
from headstart import (
    AsyncClient,
    Client,
    ExampleNotFound,
    InvalidImage,
    NoImages,
    Overloaded,
    Predictions,
    TaskNotFound,
    Unreadable,
    VersionNotFound,
)
from headstart.http.exchange import TRIES
from tests.helpers.awaited import FLAVOURS, Flavour, Scenario, play
from tests.helpers.images import encode, noise
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.scripted_server import LOST, PAIR, TASK, Answer, network, problem
from tests.helpers.servers import ServerProcess

each_client = pytest.mark.parametrize("flavour", FLAVOURS)
BUSY = problem(503, "overloaded", "0")
PREDICTED = Answer(200, {"task": "t", "version": 1, "backbone": "b@1", "predictions": [], "timing_ms": {}})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("both") / "data", *small_flags) as process:
        yield process


async def all_of(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def test_both_have_the_same_calls_with_the_same_arguments() -> None:
    def calls(kind: type) -> dict[str, list[str]]:
        named = ((name, getattr(kind, name)) for name in dir(kind) if not name.startswith("_"))
        return {name: [*inspect.signature(call).parameters] for name, call in named if callable(call)}

    assert calls(Client) == calls(AsyncClient)
    assert len(calls(Client)) > 25
    for name in ("backbones", "captures", "refreshes"):
        blocking, awaiting = (getattr(kind("http://localhost"), name) for kind in (Client, AsyncClient))
        assert calls(type(blocking)) == calls(type(awaiting))


def test_help_tells_what_a_call_returns() -> None:
    assert inspect.signature(Client.task).return_annotation is headstart.Task
    assert inspect.signature(AsyncClient.tasks).return_annotation == AsyncIterator[headstart.Task]
    assert inspect.iscoroutinefunction(AsyncClient.task)
    assert not inspect.iscoroutinefunction(Client.task)
    assert AsyncClient.predict.__doc__ == Client.predict.__doc__ is not None


@each_client
def test_the_life_of_a_task(flavour: Flavour, server: ServerProcess, queries: Labelled, tmp_path: Path) -> None:
    async def scenario(client: Any) -> None:
        assert await client.ready()
        task = await client.create_task("life", SAMPLES / "support")
        assert (task.version, task.examples) == (1, 25)
        assert task.id in [each.id async for each in client.tasks()]
        images = [image for _, image in queries]
        carried: list[int] = []
        many = await client.predict(task.id, [b"no image", *images * 6], progress=carried.append)
        assert carried == [256, 45]
        assert isinstance(many[0], Unreadable)
        assert [each.label for each in many[1:51]] == [each.label for each in await client.predict(task.id, images)]
        (of_many,) = await client.predict_many([task.id], images[0])
        assert isinstance(of_many, Predictions)

        added = await client.add_examples(task.id, {"palace": [queries[0][1]]})
        examples = await all_of(client.examples(task.id))
        assert (added.version, len(examples)) == (2, 26)
        assert await client.example_image(task.id, examples[-1].id) == queries[0][1]
        assert (await client.remove_example(task.id, examples[-1].id)).version == 3
        assert [each.version for each in await client.versions(task.id)] == [3, 2, 1]
        assert (await client.activate(task.id, 1)).version == 1
        assert (await client.quality(task.id)).judged == 25
        assert len((await client.compare(task.id, [{"options": {"solver": "ridge"}}])).candidates) == 1
        assert (await client.rename(task.id, "another")).name == "another"
        assert await client.classifier(task.id)
        await client.archive(task.id, tmp_path / "task.zip")
        again = await client.create_from_archive("again", tmp_path / "task.zip")
        assert [path.name for path in tmp_path.iterdir()] == ["task.zip"]
        assert again.examples == 25
        assert any(each.default for each in await client.backbones.list())
        assert await all_of(client.refreshes.list()) == []
        assert (await client.captures.list(task.id)).total == 0

        with pytest.raises(InvalidImage, match="image 1: "):
            await client.predict(task.id, b"no image")
        with pytest.raises(NoImages):
            await client.predict(task.id, [])
        with pytest.raises(VersionNotFound):
            await client.activate(task.id, 9)
        with pytest.raises(ExampleNotFound):
            await client.remove_example(task.id, "example_of_nobody")
        await client.delete(task.id)
        with pytest.raises(TaskNotFound):
            await client.task(task.id)

    play(scenario, flavour, server.url)


@each_client
def test_pictures_in_memory_are_seen_as_their_files_are(flavour: Flavour, server: ServerProcess, queries: Labelled) -> None:
    """A PNG that Pillow made is the oracle: it loses nothing, so the server must answer to the array exactly as to the file."""
    picture = Image.open(io.BytesIO(queries[0][1])).convert("RGB")
    grey, clear = picture.convert("L"), picture.convert("RGBA")
    clear.putalpha(grey)
    pairs: list[tuple[Any, bytes]] = [
        (np.asarray(picture), encode(picture)),
        (picture, encode(picture)),
        (np.asarray(grey), encode(grey)),
        (np.asarray(grey)[:, :, np.newaxis], encode(grey)),
        (np.asarray(clear), encode(clear)),
        (np.asarray(picture)[::2, ::-1], encode(Image.fromarray(np.ascontiguousarray(np.asarray(picture)[::2, ::-1])))),
    ]

    async def scenario(client: Any) -> None:
        task = await client.create_task("pictures", SAMPLES / "support")
        for in_memory, file in pairs:
            seen = await client.predict(task.id, [in_memory, file])
            assert seen[0] == seen[1]
        arrays = [array for array, _ in pairs]
        series = pd.Series(arrays, index=[f"row {number}" for number in range(len(arrays))])
        seen = await client.predict(task.id, series)
        assert seen.results == (await client.predict(task.id, [file for _, file in pairs])).results
        stacked = np.stack([np.asarray(picture)] * 2)
        assert len(await client.predict(task.id, stacked)) == 2

    play(scenario, flavour, server.url)


@each_client
def test_a_table_of_pandas_teaches(flavour: Flavour, server: ServerProcess) -> None:
    paths = sorted((SAMPLES / "support").glob("*/*.jpg"))
    table = pd.DataFrame({"label": [path.parent.name for path in paths], "image": [str(path) for path in paths], "by": "me"})

    async def scenario(client: Any) -> None:
        of_table = await client.create_task("table", table)
        of_folder = await client.create_task("folder", SAMPLES / "support")
        assert of_table.classes == of_folder.classes
        by_label = {label: rows["image"] for label, rows in table.groupby("label")}
        assert (await client.create_task("series", by_label)).classes == of_folder.classes
        with pytest.raises(TypeError, match=r"examples: a table needs the columns 'label' and 'image'; this has 'image', 'by'"):
            await client.create_task("x", table[["image", "by"]])
        with pytest.raises(TypeError, match=r"examples: row 1 has no label"):
            await client.create_task("x", table.assign(label=["fish", None, *["tool"] * (len(table) - 2)]))
        with pytest.raises(TypeError, match=r"examples: row 0: an image is a path"):
            await client.create_task("x", table.assign(image=1.5))
        with pytest.raises(TypeError, match=r"images: a table has several columns"):
            await client.predict(of_table.id, table)

    play(scenario, flavour, server.url)


@pytest.mark.parametrize(
    "ambiguous",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint16),
        np.zeros((8, 8), bool),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
    ids=["float", "16 bits", "bool", "channels first", "two channels", "empty"],
)
@each_client
def test_an_array_that_may_mean_several_things_is_refused(flavour: Flavour, ambiguous: Any) -> None:
    async def scenario(client: Any) -> None:
        told = r"uint8 from 0 to 255, \(height, width\) or \(height, width, 1, 3 or 4\), not of "
        with pytest.raises(TypeError, match=rf"images: .*{told}"):
            await client.predict("task_1", ambiguous)
        with pytest.raises(TypeError, match=rf"images\[1\]: .*{told}"):
            await client.predict("task_1", pd.Series([b"1", ambiguous]))

    with network(PREDICTED) as (client, sent):
        play(scenario, flavour, client.url)
    assert not sent


@each_client
def test_a_network_that_fails_is_borne_alike(flavour: Flavour) -> None:
    def sent_by(scenario: Scenario, *script: Answer | None) -> list[Any]:
        with network(*script) as (client, sent):
            play(scenario, flavour, client.url)
        return sent

    async def creates(client: Any) -> None:
        assert (await client.create_task("n", PAIR)).id == "task_1"

    for failure in (BUSY, LOST, Answer(502, b"a proxy's own page")):
        first, second = sent_by(creates, failure, Answer(201, TASK))
        assert first == second
        assert first.key

    async def gives_up(client: Any) -> None:
        with pytest.raises(Overloaded):
            await client.predict("task_1", b"1")

    assert len(sent_by(gives_up, BUSY)) == TRIES

    async def deletes(client: Any) -> None:
        await client.delete("task_1")

    assert len(sent_by(deletes, LOST, problem(404, "task_not_found"))) == 2

    async def remembers(client: Any) -> None:
        await client.add_examples("task_1", PAIR)
        await client.task("task_1")

    assert [each.at_least for each in sent_by(remembers, Answer(201, TASK, at_least="9"), Answer(200, TASK))] == [None, "9"]


@each_client
def test_large_examples_are_made_smaller_and_the_side_is_asked_for_once(flavour: Flavour, server: ServerProcess) -> None:
    large = [encode(noise(700, 600, seed=number), "JPEG", quality=95) for number in range(4)]

    async def scenario(client: Any) -> None:
        task = await client.create_task("large", [("a" if number % 2 else "b", image) for number, image in enumerate(large)])
        async for example in client.examples(task.id):
            with Image.open(io.BytesIO(await client.example_image(task.id, example.id))) as image:
                assert min(image.size) == 512

    play(scenario, flavour, server.url)
