"""Tasks of class names made on the command line and by an agent, against a server whose backbone reads."""

import asyncio
import base64
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client as Agent
from mcp.client.streamable_http import streamable_http_client

from headstart import Client, Task
from headstart.__main__ import main
from tests.helpers.bundles import small_bundle
from tests.helpers.named_tasks import COLOURS, new_tasks_on, picture
from tests.helpers.servers import ServerProcess
from tests.helpers.text_bundles import text_bundle

READS, BLIND = "reads@1", "blind@1"
NAMES = [word for colour in COLOURS for word in ("--class", colour)]

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("bundles")
    assert text_bundle(shipped_bundle, folder, "reads") == READS
    assert small_bundle(shipped_bundle, folder, "blind") == BLIND
    flags = ("--bundles-dir", str(folder), "--bundle", READS)
    with ServerProcess(tmp_path_factory.mktemp("named") / "data", *flags) as process:
        yield process
        assert process.stop() == 0, process.log()


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)


def sizes(task: Task) -> dict[str, int]:
    return {size.label: size.examples for size in task.classes}


def called(client: Client, name: str) -> Task:
    (found,) = (task for task in client.tasks() if task.name == name)
    return found


def test_names_alone_make_a_task(client: Client, tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "new.png").write_bytes(picture("green", 7))
    assert main(["create", "named", *NAMES]) == 0
    assert "class names  weight = 1" in capsys.readouterr().out
    assert sizes(called(client, "named")) == dict.fromkeys(COLOURS, 0)
    assert main(["predict", "named", str(tmp_path / "new.png")]) == 0
    assert "green" in capsys.readouterr().out


@pytest.mark.parametrize("folder_last", [False, True])
def test_a_folder_may_have_images_of_some_classes(folder_last: bool, client: Client, tmp_path: Path) -> None:
    name = f"half named {folder_last}"
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "1.png").write_bytes(picture("red", 1))
    (tmp_path / "none.png").write_bytes(picture("blue", 2))
    stranger = ["--none-of-these", str(tmp_path / "none.png")]
    order = [*stranger, *NAMES, str(tmp_path)] if folder_last else [str(tmp_path), *NAMES, *stranger]
    assert main(["create", name, *order]) == 0
    task = called(client, name)
    assert (sizes(task), task.negatives, task.name_weight) == ({"red": 1, "green": 0, "blue": 0}, 1, 1.0)


def test_a_backbone_that_cannot_read_is_told(api: httpx.Client, capsys: Printed) -> None:
    with new_tasks_on(api, BLIND, then=READS):
        assert main(["create", "blind", *NAMES]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"backbone {BLIND} cannot read class names, so each class needs an image" in told


def test_a_zip_goes_alone(tmp_path: Path, capsys: Printed) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w"):
        pass
    assert main(["create", "zipped", str(tmp_path / "a.zip"), *NAMES]) == 2
    assert "a zip goes alone" in capsys.readouterr().err


def test_an_agent_names_classes(server: ServerProcess, api: httpx.Client) -> None:
    async def made(**arguments: Any) -> Any:
        async with Agent(streamable_http_client(f"{server.url}/mcp")) as agent:
            return await agent.call_tool("create_task", {"name": "of an agent", **arguments})

    def created(examples: Sequence[dict[str, Any]]) -> tuple[dict[str, int], float]:
        task = asyncio.run(made(classes=COLOURS, examples=examples)).structured_content
        return {each["label"]: each["examples"] for each in task["classes"]}, task["name_weight"]

    image = {"base64": base64.b64encode(picture("red", 1)).decode()}
    assert created([]) == ({"red": 0, "green": 0, "blue": 0}, 1.0)
    assert created([{"label": "red", "image": image}]) == ({"red": 1, "green": 0, "blue": 0}, 1.0)
    neither = asyncio.run(made())
    assert neither.is_error
    with new_tasks_on(api, BLIND, then=READS):
        refused = asyncio.run(made(classes=COLOURS))
    assert refused.is_error
    assert "cannot read class names" in refused.content[0].text
