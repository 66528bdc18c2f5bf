"""The calls about tasks and their versions."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from headstart.calls.paths import task_path
from headstart.http.methods import Calls, Pages, call, listing
from headstart.http.steps import Steps
from headstart.options import Candidate
from headstart.replies.comparison import Comparison
from headstart.replies.events import EventPage
from headstart.replies.quality import Quality
from headstart.replies.tasks import Example, Keep, Task, Version
from headstart.whole import written_whole


class TaskCalls(Calls):
    """The calls about tasks and their versions."""

    @listing
    def tasks(self) -> Pages[Task]:
        """All tasks, the newest first, fetched page by page."""
        return Pages("/v1/tasks", "tasks", Task.from_json)

    @call
    def task(self, task: str) -> Steps[Task]:
        """One task."""
        return self._ask(Task.from_json, "GET", task_path(task))

    @call
    def rename(self, task: str, name: str) -> Steps[Task]:
        """Gives a task another name; its id stays."""
        return self._ask(Task.from_json, "PATCH", task_path(task), json={"name": name})

    @call
    def set_capture(
        self,
        task: str,
        *,
        keep: Keep | None = None,
        limit: int | None = None,
        days: int | None = None,
        notify: int | Literal["never"] | None = None,
    ) -> Steps[Task]:
        """Sets which predictions of a task are kept for review; what is None stays as it is.

        Args:
            keep: "uncertain" are unknown images, and labels that are hardly likelier than others.
            limit: most captures; the oldest leaves first.
            days: age at which a capture leaves.
            notify: the number of captures at which an event tells that they wait.
        """
        wanted = {"keep": keep, "limit": limit, "days": days, "notify": notify}
        given = {name: None if value == "never" else value for name, value in wanted.items() if value is not None}
        return self._ask(Task.from_json, "PATCH", task_path(task), json={"capture": given})

    @call
    def delete(self, task: str) -> Steps[None]:
        """Removes a task with all its versions and images."""
        yield from self._exchange.delete(task_path(task))

    @listing
    def examples(self, task: str, *, negatives: bool | None = None) -> Pages[Example]:
        """The examples of the active version, the oldest first, fetched page by page.

        Args:
            negatives: True for only the images of none of the classes, False for only the others.
        """
        params = {} if negatives is None else {"negatives": negatives}
        return Pages(task_path(task, "examples"), "examples", Example.from_json, params)

    @call
    def example_image(self, task: str, example: str) -> Steps[bytes]:
        """An example's image, byte for byte as it was sent.

        Raises:
            ImageNotKept: the server did not keep it; `Example.image_kept` says so.
        """
        return self._content(task_path(task, "examples", example, "image"))

    @call
    def archive(self, task: str, path: str | os.PathLike[str]) -> Steps[None]:
        """Saves the active version as a zip with a folder per class, which `POST /v1/tasks` takes again as `archive`.

        Negatives are in the hidden folder `.negatives`; the head and a description of the task in `.headstart`.

        Args:
            path: of the file, which appears when it is whole, and replaces one that is there.

        Raises:
            ImageNotKept: the server did not keep the image of an example.
            ServerUnreachable: the reply broke off, for example since the task was deleted.
            OSError: the file cannot be written.
        """
        with written_whole(Path(path), replace=True) as whole, whole.open("xb") as file:
            yield from self._exchange.download(task_path(task, "archive"), file)

    @call
    def classifier(self, task: str) -> Steps[bytes]:
        """Returns the active version as a safetensors file, with which `headstart score` works without the server."""
        return self._content(task_path(task, "classifier"))

    @call
    def quality(self, task: str) -> Steps[Quality]:
        """Judges the active version by its own examples, and finds suspicious ones. Takes seconds for thousands of examples."""
        return self._ask(Quality.from_json, "GET", task_path(task, "quality"))

    @call
    def compare(self, task: str, candidates: Iterable[Candidate] | None = None) -> Steps[Comparison]:
        """Tries solvers, options and backbones on the examples of the active version, and changes nothing.

        Another backbone embeds the examples again, which takes a while for many examples.

        Args:
            candidates: fields that a candidate leaves out stay as they are now; by default every solver and the other open
                backbones.

        Raises:
            BackboneNotFound, ImageNotKept, InvalidInput: the only candidate cannot be tried. Among other candidates it becomes an
                `Untried`.
        """
        asked = {} if candidates is None else {"candidates": list(candidates)}
        return self._ask(Comparison.from_json, "POST", task_path(task, "compare"), json=asked)

    @call
    def versions(self, task: str) -> Steps[tuple[Version, ...]]:
        """All versions of a task, the newest first."""
        return self._ask(lambda body: tuple(map(Version.from_json, body["versions"])), "GET", task_path(task, "versions"))

    @call
    def activate(self, task: str, version: int) -> Steps[Task]:
        """Makes a version the active one, which answers: an older or a newer one."""
        return self._ask(Task.from_json, "PATCH", task_path(task), json={"active_version": version})

    @call
    def events(self, *, after: str | None = None, limit: int = 100) -> Steps[EventPage]:
        """Events tell what happened to tasks, in that order. The answer comes at once: ask again after a while.

        Args:
            after: `next` of the page before; by default from the oldest event there is; "latest" has no events, but a `next`.
            limit: at most 1000 events.
        """
        params: dict[str, str | int] = {"limit": limit} if after is None else {"limit": limit, "after": after}
        return self._ask(EventPage.from_json, "GET", "/v1/events", params=params)
