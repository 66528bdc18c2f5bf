"""The tools of `headstart mcp` and of the server's `/mcp`. Each is a call of the client, and answers the JSON of the API."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from headstart.client import AsyncClient
from headstart.errors import ApiError, HeadstartError
from headstart.version import VERSION

OpenClient = Callable[[Context], AbstractAsyncContextManager[AsyncClient]]
"""Opens the client with which a call of a tool asks the server."""

_INSTRUCTIONS = """\
Headstart makes an image classifier, a task, out of a few labelled images, at once. 5 images of each class are a good start.
Each change of a task makes a version, which is active at once. `rollback` returns to another one.
Ask for the `quality` of a task before you trust it. Where a prediction says `known: false`, the image is of none of the classes:
its label is only the most similar.
"""

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
_CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

_OF_SUSPECTS = ("suspects", "duplicates")

TaskId = Annotated[str, Field(description="id of a task, such as `list_tasks` tells")]


def tool_server(kind: Any, client: OpenClient, *, shrink: bool) -> MCPServer:
    """Returns a server of the tools. There is none that deletes.

    Args:
        kind: the type of an image: a model, or a union of them, of `headstart.mcp.images`.
        shrink: makes large examples smaller before they are sent.
    """
    server = MCPServer("headstart", instructions=_INSTRUCTIONS, version=VERSION, log_level="WARNING", subscriptions=False)
    tools = _Tools(client)
    for tool in (tools.list_tasks, tools.describe_task, tools.quality, tools.suspects, tools.compare):
        server.add_tool(tool, annotations=_READS)
    server.add_tool(tools.rollback, annotations=_CHANGES)

    class Example(BaseModel):
        label: str | list[str] | None = Field(
            description="its class; null if it is of none of the classes; a list in a task of several labels an image"
        )
        image: kind

    async def create_task(
        context: Context,
        name: str,
        examples: Annotated[Sequence[Example], Field(description="may be none where there are `classes`")] = (),
        classes: Annotated[Sequence[str], Field(description="names of classes, which need no image")] = (),
        several_labels: bool = False,
    ) -> dict[str, Any]:
        """Make a classifier of labelled images: at least two classes, and one image of each. It can answer at once.

        With `several_labels` an image may have any number of labels. Where the backbone reads text, the names in `classes` are
        enough: such a class needs no image, and the names help those that have few. Other backbones refuse a class without one.
        """
        async with tools.asking(context) as asked:
            given = [(example.label, example.image.image) for example in examples]
            task = await asked.create_task(name, given, classes=classes, several_labels=several_labels, shrink=shrink)
        return dict(task.raw)

    async def add_examples(context: Context, task: TaskId, examples: list[Example]) -> dict[str, Any]:
        """Add labelled images of existing or new classes to a task: a new version, active at once."""
        async with tools.asking(context) as asked:
            several = any(isinstance(example.label, list) for example in examples)
            given = [(example.label, example.image.image) for example in examples]
            changed = await asked.add_examples(task, given, several_labels=several, shrink=shrink)
        return dict(changed.raw)

    async def classify(
        context: Context,
        task: TaskId,
        images: list[kind],
        top_k: Annotated[int, Field(ge=1, description="how many labels the scores of each image hold")] = 5,
    ) -> dict[str, Any]:
        """Tell what images show: of each, in their order, the label, its probability, and whether it is of a known class."""
        async with tools.asking(context) as asked:
            predictions = await asked.predict(task, [each.image for each in images], top_k=top_k)
        return dict(predictions.raw)

    server.add_tool(create_task, annotations=_ADDS)
    server.add_tool(add_examples, annotations=_ADDS)
    server.add_tool(classify, annotations=_READS)
    return server


class _Tools:
    """The tools without images; their docstrings are what an agent reads."""

    def __init__(self, client: OpenClient) -> None:
        self._client = client

    @asynccontextmanager
    async def asking(self, context: Context) -> AsyncIterator[AsyncClient]:
        """Gives a client to one call of a tool, and turns its errors into those that an agent is told.

        Raises:
            ToolError: the server refused the call, or cannot be reached, or a file cannot be read.
        """
        try:
            async with self._client(context) as client:
                yield client
        except ApiError as error:
            later = "" if error.retry_after is None else f"; try again in {error.retry_after:.0f} s"
            raise ToolError(f"{error}{later}") from error
        except (HeadstartError, OSError) as error:
            raise ToolError(str(error)) from error

    async def list_tasks(
        self, context: Context, limit: Annotated[int, Field(ge=1, description="how many at most")] = 50
    ) -> dict[str, Any]:
        """List the tasks, the newest first, with their classes. `more` says that there are others."""
        tasks: list[Any] = []
        async with self.asking(context) as client:
            async for task in client.tasks():
                if len(tasks) == limit:
                    return {"tasks": tasks, "more": True}
                tasks.append(task.raw)
        return {"tasks": tasks, "more": False}

    async def describe_task(self, context: Context, task: TaskId) -> dict[str, Any]:
        """Describe a task: its classes with their numbers of examples, and its versions, the newest first."""
        async with self.asking(context) as client:
            found, versions = await client.task(task), await client.versions(task)
        return {**found.raw, "versions": [version.raw for version in versions]}

    async def quality(self, context: Context, task: TaskId) -> dict[str, Any]:
        """Judge a task by leaving out each of its examples: accuracy, confused classes, and which class needs more images."""
        async with self.asking(context) as client:
            judged = await client.quality(task)
        return {name: value for name, value in judged.raw.items() if name not in _OF_SUSPECTS}

    async def suspects(self, context: Context, task: TaskId) -> dict[str, Any]:
        """Find examples whose label looks wrong, the clearest first, and examples that are near-duplicates."""
        async with self.asking(context) as client:
            judged = await client.quality(task)
        return {name: judged.raw[name] for name in ("task", "version", *_OF_SUSPECTS)}

    async def compare(self, context: Context, task: TaskId) -> dict[str, Any]:
        """Try every solver and open backbone on a task's examples, beside the active version. Nothing is changed."""
        async with self.asking(context) as client:
            return dict((await client.compare(task)).raw)

    async def rollback(
        self, context: Context, task: TaskId, version: Annotated[int, Field(description="one of `describe_task`")]
    ) -> dict[str, Any]:
        """Make another version of a task the active one, which answers. No version is lost."""
        async with self.asking(context) as client:
            return dict((await client.activate(task, version)).raw)
