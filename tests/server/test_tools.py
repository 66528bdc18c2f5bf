"""Tools for agents (Model Context Protocol), called with the client of the protocol's own SDK: at `/mcp`, and over stdio."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import httpx2
import pytest
from mcp import Client as Agent
from mcp import MCPError
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess, run_server

Way = Literal["http", "stdio"]

READING = {"list_tasks", "describe_task", "classify", "quality", "suspects", "compare"}
ADDING = {"create_task", "add_examples"}
CHANGING = {"rollback"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tools") / "data"


@pytest.fixture(scope="module")
def keys(data_dir: Path) -> dict[str, str]:
    """Keys by tenant and scope."""

    def made(tenant: str, scope: str) -> str:
        flags = ("--tenant", tenant, "--scope", scope, "--data-dir", str(data_dir))
        return run_server("keys", "create", *flags, folder=data_dir.parent).stdout.strip()

    return {
        f"{tenant} {scope}": made(tenant, scope) for tenant, scope in (("birds", "write"), ("birds", "predict"), ("b", "write"))
    }


@pytest.fixture(scope="module")
def server(data_dir: Path, keys: dict[str, str], small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    assert keys
    with ServerProcess(data_dir, *small_flags) as process:
        yield process
        assert process.stop() == 0, process.log()


@pytest.fixture
def api(server: ServerProcess, keys: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60, headers={"Authorization": f"Bearer {keys['birds write']}"}) as client:
        yield client


@asynccontextmanager
async def at_server(url: str, key: str | None, mode: str = "auto") -> AsyncIterator[Agent]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Agent(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as agent,
    ):
        yield agent


@asynccontextmanager
async def over_stdio(url: str, key: str) -> AsyncIterator[Agent]:
    environment = {"HEADSTART_TOKEN": key, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = StdioServerParameters(command=sys.executable, args=["-m", "headstart", "mcp", "--url", url], env=environment)
    async with Agent(command) as agent:
        yield agent


def play(scenario: Callable[[Agent], Awaitable[None]], way: Way, url: str, key: str, mode: str = "auto") -> None:
    async def main() -> None:
        async with at_server(url, key, mode) if way == "http" else over_stdio(url, key) as agent:
            await scenario(agent)

    asyncio.run(main())


def told(result: CallToolResult) -> dict[str, Any]:
    """The JSON that a tool answers, which its text says as well."""
    assert not result.is_error, result.content
    assert result.structured_content is not None
    (text,) = result.content
    assert text.type == "text"
    answered: dict[str, Any] = json.loads(text.text)
    assert answered == result.structured_content
    return answered


def refusal(result: CallToolResult) -> str:
    assert result.is_error
    (text,) = result.content
    assert text.type == "text"
    return text.text


def in_base64(image: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(image).decode()}


def timeless(reply: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in reply.items() if name != "timing_ms"}


@pytest.mark.parametrize(("way", "mode"), [("http", "legacy"), ("http", "auto"), ("stdio", "auto")])
def test_tools_say_what_they_do(way: Way, mode: str, server: ServerProcess, keys: dict[str, str]) -> None:
    async def scenario(agent: Agent) -> None:
        tools = {tool.name: tool for tool in (await agent.list_tools()).tools}
        assert tools.keys() == READING | ADDING | CHANGING, "and none that deletes"
        hints = {name: tool.annotations for name, tool in tools.items()}
        assert {name for name, hint in hints.items() if hint and hint.read_only_hint} == READING
        assert {name for name, hint in hints.items() if hint and not hint.read_only_hint and not hint.destructive_hint} == ADDING
        assert {name for name, hint in hints.items() if hint and hint.destructive_hint} == CHANGING
        assert all(tool.description for tool in tools.values())
        assert ("path" in json.dumps(tools["classify"].input_schema)) == (way == "stdio")
        assert agent.instructions
        assert "quality" in agent.instructions

    play(scenario, way, server.url, keys["birds write"], mode)


@pytest.mark.parametrize("way", ["http", "stdio"])
def test_tools_answer_as_the_api_does(
    way: Way, api: httpx.Client, server: ServerProcess, keys: dict[str, str], support: Labelled, queries: Labelled, tmp_path: Path
) -> None:
    def given(image: bytes, number: int) -> dict[str, str]:
        if way == "http" or number % 2:
            return in_base64(image)
        file = tmp_path / f"{number}.png"
        file.write_bytes(image)
        return {"path": str(file)}

    async def scenario(agent: Agent) -> None:
        examples = [{"label": label, "image": given(image, number)} for number, (label, image) in enumerate(support)]
        made = told(await agent.call_tool("create_task", {"name": way, "examples": examples}))
        task, path = {"task": made["id"]}, f"/v1/tasks/{made['id']}"
        assert {each["label"]: each["examples"] for each in made["classes"]} == dict.fromkeys({label for label, _ in support}, 5)

        stranger = {"label": None, "image": given(queries[1][1], 100)}
        added = told(await agent.call_tool("add_examples", {**task, "examples": [stranger]}))
        assert (added["version"], added["negatives"]) == (2, 1)
        assert told(await agent.call_tool("rollback", {**task, "version": 1}))["version"] == 1

        images = [image for _, image in queries[:3]]
        shown = [given(image, 200 + number) for number, image in enumerate(images)]
        seen = told(await agent.call_tool("classify", {**task, "images": shown, "top_k": 2}))
        files = [("images", image) for image in images]
        assert timeless(seen) == timeless(api.post(f"{path}/predict?top_k=2", files=files).json())

        described = told(await agent.call_tool("describe_task", task))
        versions = described.pop("versions")
        assert described == api.get(path).json()
        assert versions == api.get(f"{path}/versions").json()["versions"]
        judged = api.get(f"{path}/quality").json()
        assert told(await agent.call_tool("quality", task)) | told(await agent.call_tool("suspects", task)) == judged
        compared = told(await agent.call_tool("compare", task))
        assert {trial["head"]["solver"] for trial in compared["candidates"]} == {"logistic", "ridge", "prototype"}
        listed = told(await agent.call_tool("list_tasks", {"limit": 1}))
        assert [each["id"] for each in listed["tasks"]] == [made["id"]]

        assert "task_not_found" in refusal(await agent.call_tool("quality", {"task": "task_of_nobody"}))
        assert "version_not_found" in refusal(await agent.call_tool("rollback", {**task, "version": 9}))
        broken = refusal(await agent.call_tool("classify", {**task, "images": [in_base64(b"no image")]}))
        assert "image 1: " in broken
        assert "image_unsupported" in broken
        assert "base64" in refusal(await agent.call_tool("classify", {**task, "images": [{"base64": "?"}]}))
        local = refusal(await agent.call_tool("classify", {**task, "images": [{"path": str(tmp_path / "not there")}]}))
        assert ("No such file" in local) == (way == "stdio")

    play(scenario, way, server.url, keys["birds write"])


def test_a_tool_does_what_the_key_allows(server: ServerProcess, keys: dict[str, str], data_dir: Path, support: Labelled) -> None:
    pair = [{"label": label, "image": in_base64(image)} for label, image in support[::5]]
    made: list[str] = []

    async def of_the_writer(agent: Agent) -> None:
        made.append(told(await agent.call_tool("create_task", {"name": "guarded", "examples": pair}))["id"])

    async def of_the_reader(agent: Agent) -> None:
        seen = told(await agent.call_tool("classify", {"task": made[0], "images": [in_base64(support[0][1])]}))
        assert seen["predictions"][0]["label"] == support[0][0]
        assert "(forbidden)" in refusal(await agent.call_tool("create_task", {"name": "x", "examples": pair}))
        assert "(forbidden)" in refusal(await agent.call_tool("rollback", {"task": made[0], "version": 1}))

    async def of_another_tenant(agent: Agent) -> None:
        assert told(await agent.call_tool("list_tasks"))["tasks"] == []
        assert "(task_not_found)" in refusal(await agent.call_tool("describe_task", {"task": made[0]}))

    play(of_the_writer, "http", server.url, keys["birds write"], "legacy")
    play(of_the_reader, "http", server.url, keys["birds predict"], "legacy")
    play(of_another_tenant, "http", server.url, keys["b write"])
    rows = run_server("audit", "--action", "task.create", "--data-dir", str(data_dir), folder=data_dir.parent).stdout
    created = [row for row in map(json.loads, rows.splitlines()) if row["object"] == f"tasks/{made[0]}"]
    assert [(row["tenant"], row["result"]) for row in created] == [("birds", "done")]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_calls_at_the_same_time_have_each_their_own_key(
    mode: str, server: ServerProcess, keys: dict[str, str], support: Labelled
) -> None:
    """All calls share one client in the server."""
    examples = [{"label": label, "image": in_base64(image)} for label, image in support]

    async def main() -> None:
        async with (
            at_server(server.url, keys["birds write"], mode) as of_birds,
            at_server(server.url, keys["b write"], mode) as of_b,
        ):
            task = told(await of_birds.call_tool("create_task", {"name": "theirs", "examples": examples}))["id"]
            asked = [(of_birds, of_b)[position % 2].call_tool("describe_task", {"task": task}) for position in range(20)]
            answers = await asyncio.gather(*asked)
        assert [told(answer)["id"] for answer in answers[::2]] == [task] * 10
        assert all("(task_not_found)" in refusal(answer) for answer in answers[1::2])

    asyncio.run(main())


def test_a_stranger_is_told_to_bring_a_key(server: ServerProcess) -> None:
    refused = httpx.post(f"{server.url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")

    async def main() -> None:
        async with at_server(server.url, None) as agent:
            await agent.list_tools()

    with pytest.raises((MCPError, ExceptionGroup, httpx2.HTTPError)):
        asyncio.run(main())


def test_nothing_else_is_at_the_path(api: httpx.Client) -> None:
    """A stream that the server would open has nothing to say, and there is no session to end."""
    for method in ("GET", "DELETE"):
        refused = api.request(method, "/mcp")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
    foreign = api.post("/mcp", json={}, headers={"Origin": "https://elsewhere.example"})
    assert foreign.json()["code"] == "origin_not_allowed"
    too_large = api.post("/mcp", content=b" " * 64_000_001)
    assert (too_large.status_code, too_large.json()["code"]) == (413, "body_too_large")


def hide_the_sdk() -> None:
    """For `prepare`: the package of the tools is not installed."""
    sys.modules["mcp"] = None  # type: ignore[assignment]


def test_without_its_packages_there_is_no_such_path(tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    with ServerProcess(tmp_path / "data", *small_flags, prepare=hide_the_sdk) as process:
        assert httpx.post(f"{process.url}/mcp", json={}).json()["code"] == "not_found"
