"""The API's refreshes: moves of tasks onto another bundle."""

import uuid
from collections.abc import Iterable
from urllib.parse import quote

from headstart.http.methods import Awaiting, Blocking, Calls, Pages, call, listing
from headstart.http.steps import Steps
from headstart.replies.refreshes import Refresh, RefreshedTask

_REFRESHES = "/v1/refreshes"


class RefreshCalls(Calls):
    """The calls about refreshes."""

    @call
    def start(self, to: str, tasks: str | Iterable[str] = "all", *, max_drop: float = 0.02) -> Steps[Refresh]:
        """Has the server move tasks, ids or "all", onto a bundle, `name@version`, and answers at once.

        Args:
            max_drop: a task stays where it is if its accuracy would fall by more. A task with one example a class tells no
                accuracy: it moves only if both bundles' evaluations favour the move. At 1 all tasks move.

        Raises:
            BackboneNotFound: the bundle is not in the server's folders.
            TaskNotFound: one of the tasks does not exist; nothing was started.
        """
        wanted = tasks if tasks == "all" else [tasks] if isinstance(tasks, str) else list(tasks)
        body = {"to": to, "tasks": wanted, "max_drop": max_drop}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        return self._ask(Refresh.from_json, "POST", _REFRESHES, json=body, headers=key)

    @listing
    def list(self) -> Pages[Refresh]:
        """All refreshes, the newest first, fetched page by page."""
        return Pages(_REFRESHES, "refreshes", Refresh.from_json)

    @call
    def get(self, refresh: str) -> Steps[Refresh]:
        """One refresh, with its progress."""
        return self._ask(Refresh.from_json, "GET", _path(refresh))

    @listing
    def tasks(self, refresh: str) -> Pages[RefreshedTask]:
        """Each task of a refresh and its outcome, the oldest task first, fetched page by page."""
        return Pages(f"{_path(refresh)}/tasks", "tasks", RefreshedTask.from_json)

    @call
    def pause(self, refresh: str) -> Steps[Refresh]:
        """Stops moving tasks until the refresh is resumed.

        Raises:
            WrongRefreshState: it is not running.
        """
        return self._change(refresh, "pause")

    @call
    def resume(self, refresh: str) -> Steps[Refresh]:
        """Goes on with a paused refresh.

        Raises:
            WrongRefreshState: it is not paused.
        """
        return self._change(refresh, "resume")

    @call
    def cancel(self, refresh: str) -> Steps[Refresh]:
        """Stops moving tasks for good. Tasks that were moved stay so; `rollback` can return them.

        Raises:
            WrongRefreshState: it has ended.
        """
        return self._change(refresh, "cancel")

    @call
    def rollback(self, refresh: str) -> Steps[Refresh]:
        """Has the server return every task that a refresh moved, and answers at once. Examples changed since stay so.

        Raises:
            WrongRefreshState: it has not ended; cancel it first.
        """
        return self._change(refresh, "rollback")

    def _change(self, refresh: str, action: str) -> Steps[Refresh]:
        return self._ask(Refresh.from_json, "POST", f"{_path(refresh)}/{action}")


class Refreshes(RefreshCalls, Blocking):
    """Starts, watches and steers refreshes. The server works on them whether or not anybody watches."""


class AsyncRefreshes(RefreshCalls, Awaiting):
    """As `Refreshes`, to be awaited."""


def _path(refresh: str) -> str:
    return f"{_REFRESHES}/{quote(refresh, safe='')}"
