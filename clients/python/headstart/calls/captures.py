"""The API's captures: predictions that the server keeps, until somebody decides about them."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal
from urllib.parse import quote

from headstart.http.methods import Awaiting, Blocking, Calls, call
from headstart.http.steps import Steps
from headstart.labels import label_field
from headstart.replies.captures import CapturePage
from headstart.replies.tasks import Task

Order = Literal["most-useful", "newest", "unknown"]


class CaptureCalls(Calls):
    """The calls about captured predictions."""

    @call
    def list(self, task: str, *, order: Order = "most-useful", limit: int = 20, after: str | None = None) -> Steps[CapturePage]:
        """A page of the review queue, judged anew by the active version.

        Args:
            order: "unknown" has the likeliest strangers first.
            limit: at most 100 entries.
            after: `next_cursor` of the page before. Begin again without it once something was decided.
        """
        params: dict[str, str | int] = {"order": order, "limit": limit}
        if after is not None:
            params["after"] = after
        return self._ask(CapturePage.from_json, "GET", _path(task), params=params)

    @call
    def image(self, task: str, capture: str) -> Steps[bytes]:
        """The image of a capture, byte for byte as it was sent.

        Raises:
            CaptureNotFound: there is no such capture any more.
            ImageNotKept: the server keeps no images.
        """
        return self._content(f"{_path(task)}/{quote(capture, safe='')}/image")

    @call
    def resolve(
        self, task: str, labels: Mapping[str, str | Sequence[str] | None] | None = None, *, discard: Iterable[str] = ()
    ) -> Steps[Task]:
        """Carries out all decisions, or none. Labelled captures become examples of one new version.

        Args:
            labels: the class of each capture, by its id; None if it is of none of the classes. In a task of several labels an
                image, the list of them.
            discard: ids of captures to be removed for good. Where all are discarded, no version is made.

        Raises:
            CaptureNotFound: one of the captures is gone; the detail names it.
        """
        by_label: dict[str | tuple[str, ...] | None, list[str]] = {}
        for capture, label in (labels or {}).items():
            by_label.setdefault(label if label is None or isinstance(label, str) else tuple(label), []).append(capture)
        decisions: list[dict[str, object]] = [{"captures": ids, **label_field(label)} for label, ids in by_label.items()]
        if gone := [discard] if isinstance(discard, str) else [*discard]:
            decisions.append({"captures": gone, "discard": True})
        key = {"Idempotency-Key": uuid.uuid4().hex}
        return self._ask(Task.from_json, "POST", f"{_path(task)}/resolve", json={"decisions": decisions}, headers=key)


class Captures(CaptureCalls, Blocking):
    """Lists captured predictions and decides about them. `Client.set_capture` says which are captured."""


class AsyncCaptures(CaptureCalls, Awaiting):
    """As `Captures`, to be awaited."""


def _path(task: str) -> str:
    return f"/v1/tasks/{quote(task, safe='')}/captures"
