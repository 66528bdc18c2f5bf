"""The part of the client that moves tasks onto another bundle."""

import uuid
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from headstart.http.transport import Transport, pages, parse
from headstart.replies.refreshes import Refresh, RefreshedTask

_REFRESHES = "/v1/refreshes"


class RefreshCalls:
    """One method for each thing that the API does with refreshes. The server works on them whether or not anybody watches."""

    _transport: Transport

    def refresh(self, to: str, tasks: str | Iterable[str] = "all", *, max_drop: float = 0.02) -> Refresh:
        """Has the server move tasks, ids or "all", onto a bundle, `name@version`, and answers at once.

        Args:
            max_drop: a task whose accuracy, told by its support set, would fall by more stays where it is, as does one with an
                example a class, of which nothing can be told, unless both bundles' evaluations favour the move; at 1 all move.

        Raises:
            BackboneNotFound: the bundle is not in the server's folders.
            TaskNotFound: one of the tasks does not exist; nothing was begun.
        """
        wanted = tasks if tasks == "all" else [tasks] if isinstance(tasks, str) else list(tasks)
        body = {"to": to, "tasks": wanted, "max_drop": max_drop}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        return parse(Refresh.from_json, self._transport.send("POST", _REFRESHES, json=body, headers=key))

    def refreshes(self) -> Iterator[Refresh]:
        """All refreshes, the newest first, fetched page by page."""
        return pages(self._transport, _REFRESHES, "refreshes", Refresh.from_json)

    def refresh_progress(self, refresh: str) -> Refresh:
        """How far a refresh is."""
        return parse(Refresh.from_json, self._transport.send("GET", _path(refresh)))

    def refreshed_tasks(self, refresh: str) -> Iterator[RefreshedTask]:
        """What became of each task of a refresh, the oldest task first, fetched page by page."""
        return pages(self._transport, f"{_path(refresh)}/tasks", "tasks", RefreshedTask.from_json)

    def pause_refresh(self, refresh: str) -> Refresh:
        """No task is moved after this, until the refresh is resumed.

        Raises:
            WrongRefreshState: it is not running.
        """
        return self._change(refresh, "pause")

    def resume_refresh(self, refresh: str) -> Refresh:
        """Goes on with a paused refresh.

        Raises:
            WrongRefreshState: it is not paused.
        """
        return self._change(refresh, "resume")

    def cancel_refresh(self, refresh: str) -> Refresh:
        """No task is moved after this. What was moved stays so, and may be rolled back.

        Raises:
            WrongRefreshState: it has ended.
        """
        return self._change(refresh, "cancel")

    def rollback_refresh(self, refresh: str) -> Refresh:
        """Has the server return every task that a refresh moved, and answers at once. Examples changed since stay so.

        Raises:
            WrongRefreshState: it has not ended; cancel it first.
        """
        return self._change(refresh, "rollback")

    def _change(self, refresh: str, action: str) -> Refresh:
        return parse(Refresh.from_json, self._transport.send("POST", f"{_path(refresh)}/{action}"))


def _path(refresh: str) -> str:
    return f"{_REFRESHES}/{quote(refresh, safe='')}"
