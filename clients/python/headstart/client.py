"""The client: a method for everything the API does with tasks, and an object each for backbones, captures and refreshes."""

import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from headstart.backbones import Backbones
from headstart.captures import Captures
from headstart.http.transport import Transport, pages, parse
from headstart.images.examples import Examples, labelled
from headstart.images.kinds import Image
from headstart.labels import label_field
from headstart.limits import Limits, Quota, ask_limits, ask_quotas
from headstart.options import Candidate, HeadOptions
from headstart.queries import Queries
from headstart.refreshes import Refreshes
from headstart.replies.comparison import Comparison
from headstart.replies.events import EventPage
from headstart.replies.keys import Key
from headstart.replies.predictions import ManyPredictions, Predictions
from headstart.replies.quality import Quality
from headstart.replies.tasks import Example, Keep, Task, Version
from headstart.uploads import Broken, Progress, Shrinker, Upload

DEFAULT_URL = "http://127.0.0.1:8000"


class Client:
    """A client of one Headstart server; threads may share it.

    A prediction of more images than the server takes at once is sent as several requests. The first prediction of several images
    asks `/v1/limits` for that. A request that fails because a connection broke, the server was busy or a quota of the minute was
    used up is tried again a few times, and is never carried out twice.

    Args:
        url: the server's address; by default the environment's `HEADSTART_URL`, or this machine's port 8000.
        token: the key of a server that asks for one; by default the environment's `HEADSTART_TOKEN`. It is sent as
            `Authorization: Bearer …`.
        headers: sent with every request.
        timeout: seconds that the server may be silent within one request.
        waiting: called with the seconds whenever a request is about to wait for a quota.

    Attributes:
        backbones: lists, opens and closes backbones, and sets the default.
        captures: lists captured predictions and decides about them.
        refreshes: moves tasks onto another bundle.

    Raises:
        ValueError: the address, the token or a header is malformed.
        Unauthenticated, Forbidden: from every method, if the server has keys and the token does not allow the call.
        QuotaExceeded, StoredQuotaExceeded: from every method, if the tenant or the key has a quota that the call goes beyond.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 120.0,
        waiting: Callable[[float], None] | None = None,
    ) -> None:
        self.url = (url or os.environ.get("HEADSTART_URL") or DEFAULT_URL).strip().rstrip("/")
        self._transport = Transport(self.url, timeout, token, headers, waiting)
        self.backbones = Backbones(self._transport)
        self.captures = Captures(self._transport)
        self.refreshes = Refreshes(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def ready(self) -> bool:
        """True if a server is there and able to serve; tries once."""
        return self._transport.answers("/readyz")

    def key(self) -> Key:
        """Whose key the client sends, and what it allows. Raises Unauthenticated if the server asks for one that is valid."""
        return parse(Key.from_json, self._transport.send("GET", "/v1/key"))

    def quotas(self) -> tuple[Quota, ...]:
        """The quotas that whoever runs the server has set for the client's tenant and key, and how much of each is used."""
        return ask_quotas(self._transport)

    def create_task(
        self,
        name: str | None,
        examples: Examples,
        *,
        options: HeadOptions | None = None,
        several_labels: bool = False,
        shrink: bool = True,
        broken: Broken | None = None,
        progress: Progress | None = None,
    ) -> Task:
        """Makes a classifier from labelled images. All are sent in one request, which makes one version.

        Args:
            name: of the task; None calls it by its id.
            options: for fitting the last layer.
            several_labels: lets an image have any number of labels: the label of a pair may be a list, and an image that is given
                under several labels, the same bytes, has all of them. It cannot be changed later.
            shrink: makes large images smaller before they are sent, if Pillow is installed. Their short side becomes twice the
                backbone's input, and no less than 512 pixels, which saves most of the bytes that would be sent and stored. Images
                that do not fit into one request even so are saved at a lower quality, and in the end below 512 pixels.
            broken: called for every image that cannot be read; the image is left out. Without it, such an image is an error.
            progress: called as examples are made ready to be sent.

        Raises:
            NoImages: there are no examples, or a class has none that can be read.
            RequestTooLarge: the examples are more than the server takes in one request.
            InvalidImage: some images cannot be read; the detail names them.
            TypeError: something given is no image or no label.
        """
        fields = {} if name is None else {"name": name}
        if options:
            fields["options"] = json.dumps(options)
        if several_labels:
            fields["label_mode"] = "multiple"
        shrinker = Shrinker(lambda: self._input_side(None)) if shrink else None
        upload = Upload(self._transport, labelled(examples), shrinker, broken, several_labels)
        return upload.send("/v1/tasks", fields, progress)

    def add_examples(
        self,
        task: str,
        examples: Examples,
        *,
        several_labels: bool = False,
        shrink: bool = True,
        broken: Broken | None = None,
        progress: Progress | None = None,
    ) -> Task:
        """Adds examples of existing or new classes, or of none, to a task, in one request, which makes one version.

        Images of none of the classes have the label None. They help to tell strangers and nothing else.

        Args:
            several_labels: whether it is a task of several labels an image.
            shrink, broken, progress: as in `create_task`.

        Raises:
            NoImages, RequestTooLarge, InvalidImage, TypeError: as in `create_task`.
        """
        shrinker = Shrinker(lambda: self._input_side(task)) if shrink else None
        upload = Upload(self._transport, labelled(examples), shrinker, broken, several_labels)
        fields = {"label_mode": "multiple"} if several_labels else {}
        return upload.send(_path(task, "examples"), fields, progress)

    def create_from_archive(self, name: str | None, archive: str | os.PathLike[str]) -> Task:
        """Makes a task from a zip: one that `archive` saved, or any with a folder per class. Its images are sent as they are.

        Args:
            name: of the new task; None calls it by its id.

        Raises:
            InvalidInput: it is no such zip.
            RequestTooLarge: it is more than the server takes in one request.
            OSError: it cannot be read.
        """
        file = Path(archive)
        return parse(
            Task.from_json,
            self._transport.send(
                "POST",
                "/v1/tasks",
                data={} if name is None else {"name": name},
                files=[("archive", (file.name, file.read_bytes()))],
                headers={"Idempotency-Key": uuid.uuid4().hex},
            ),
        )

    def remove_example(self, task: str, example: str) -> Task:
        """Makes a version without this example."""
        response = self._transport.delete(_path(task, "examples", example))
        return self.task(task) if response is None else parse(Task.from_json, response)

    def relabel_example(self, task: str, example: str, label: str | Sequence[str] | None) -> Task:
        """Makes a version in which an example has another label, or None for none. The example gets a new id there.

        In a task of several labels an image, the label is the list of them, `[]` for none.
        """
        return parse(Task.from_json, self._transport.send("PATCH", _path(task, "examples", example), json=label_field(label)))

    def forget_example(self, task: str, example: str) -> Task:
        """Removes an example for good, with every version that was fitted with it, and makes a version without it active.

        An example that was removed, but that earlier versions still have, can be forgotten too.
        """
        response = self._transport.delete(_path(task, "examples", example), params={"forget": True})
        return self.task(task) if response is None else parse(Task.from_json, response)

    def predict(
        self,
        task: str,
        images: Image | Iterable[Image],
        *,
        top_k: int | None = None,
        unknown: Literal["judge", "ignore"] = "judge",
        mode: Literal["inductive", "transductive"] = "inductive",
        remember: bool | None = None,
        coverage: float | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        """Predicts the labels of images, in their order.

        Args:
            top_k: how many labels the scores of each image hold, the most probable first; by default all.
            unknown: "judge" also finds images that are of none of the task's classes, and the examples nearest to each image.
            mode: "transductive" judges the images of each request together, "inductive" each image alone.
            remember: True has the server keep each image with its prediction, which gets an `id` for `correct`. False has it
                capture none. None leaves it to the task's `capture`.
            coverage: adds to each prediction the `set` of labels that holds the right one so often, such as 0.9.
            progress: called after every request.

        Raises:
            InvalidImage: the only image of the call cannot be read. Among other images it becomes an `Unreadable`.
            NoImages: there are no images.
        """
        params: dict[str, str | int | float] = {"unknown": unknown, "mode": mode}
        if top_k is not None:
            params["top_k"] = top_k
        if remember is not None:
            params["remember"] = str(remember).lower()
        if coverage is not None:
            params["coverage"] = coverage
        return Queries(self._transport, images, lambda: self._limits, progress).predict(_path(task, "predict"), params)

    def predict_many(
        self,
        tasks: str | Iterable[str],
        images: Image | Iterable[Image],
        *,
        top_k: int = 1,
        unknown: Literal["judge", "ignore"] = "ignore",
        progress: Progress | None = None,
    ) -> ManyPredictions:
        """Predicts the labels of images by several tasks, at little more than the cost of one task.

        Args:
            tasks: ids, or "all". In a call of several requests, "all" means the tasks that answered the first.
            top_k: how many labels the scores of each image hold, the most probable first.
            unknown: "judge" also finds images that are of none of a task's classes, which takes longer the more tasks there are.
            progress: called after every request.

        Raises:
            InvalidImage: the only image of the call cannot be read. Among other images it becomes an `Unreadable`.
            NoImages: there are no images.
            Unavailable: the only task cannot answer. Among other tasks it becomes an `UnusableTask`.
        """
        asked = [tasks] if isinstance(tasks, str) else list(tasks)
        params = {"top_k": top_k, "unknown": unknown}
        return Queries(self._transport, images, lambda: self._limits, progress).predict_many("/v1/predict", asked, params)

    def tasks(self) -> Iterator[Task]:
        """All tasks, the newest first, fetched page by page."""
        return pages(self._transport, "/v1/tasks", "tasks", Task.from_json)

    def task(self, task: str) -> Task:
        """One task."""
        return parse(Task.from_json, self._transport.send("GET", _path(task)))

    def rename(self, task: str, name: str) -> Task:
        """Gives a task another name; its id stays."""
        return parse(Task.from_json, self._transport.send("PATCH", _path(task), json={"name": name}))

    def set_capture(
        self,
        task: str,
        *,
        keep: Keep | None = None,
        limit: int | None = None,
        days: int | None = None,
        notify: int | Literal["never"] | None = None,
    ) -> Task:
        """Sets which predictions of a task are kept for review; what is None stays as it is.

        Args:
            keep: "uncertain" are unknown images, and labels that are hardly likelier than others.
            limit: most captures; the oldest leaves first.
            days: age at which a capture leaves.
            notify: the number of captures at which an event tells that they wait.
        """
        wanted = {"keep": keep, "limit": limit, "days": days, "notify": notify}
        given = {name: None if value == "never" else value for name, value in wanted.items() if value is not None}
        return parse(Task.from_json, self._transport.send("PATCH", _path(task), json={"capture": given}))

    def correct(self, task: str, prediction: str, label: str | Sequence[str] | None) -> Task:
        """Makes the image of a remembered or captured prediction an example of a class, existing or new, in a new version.

        With None it is of none of the classes: a negative. In a task of several labels an image, the label is the list of them.

        Args:
            prediction: its id.

        Raises:
            CaptureNotFound: it was not kept, or it was decided about already.
        """
        key = {"Idempotency-Key": uuid.uuid4().hex}
        body = {"prediction": prediction, **label_field(label)}
        return parse(Task.from_json, self._transport.send("POST", _path(task, "corrections"), json=body, headers=key))

    def delete(self, task: str) -> None:
        """Removes a task with all its versions and images."""
        self._transport.delete(_path(task))

    def examples(self, task: str, *, negatives: bool | None = None) -> Iterator[Example]:
        """The examples of the active version, the oldest first, fetched page by page.

        Args:
            negatives: True for only the images of none of the classes, False for only the others.
        """
        params = {} if negatives is None else {"negatives": negatives}
        return pages(self._transport, _path(task, "examples"), "examples", Example.from_json, params)

    def example_image(self, task: str, example: str) -> bytes:
        """An example's image, byte for byte as it was sent.

        Raises:
            ImageNotKept: the server did not keep it; `Example.image_kept` says so.
        """
        return self._transport.send("GET", _path(task, "examples", example, "image")).content

    def archive(self, task: str, path: str | os.PathLike[str]) -> None:
        """Saves the active version as a zip with a folder per class, which `POST /v1/tasks` takes again as `archive`.

        Negatives are in the hidden folder `.negatives`; the head and a description of the task in `.headstart`.

        Args:
            path: of the file, which appears when it is whole, and replaces one that is there.

        Raises:
            ImageNotKept: the server did not keep the image of an example.
            ServerUnreachable: the reply broke off, for example since the task was deleted.
            OSError: the file cannot be written.
        """
        whole = Path(path)
        part = whole.with_name(f"{whole.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with part.open("xb") as file:
                for piece in self._transport.download(_path(task, "archive")):
                    file.write(piece)
            part.replace(whole)
        finally:
            part.unlink(missing_ok=True)

    def classifier(self, task: str) -> bytes:
        """Returns the active version as a safetensors file, with which `headstart score` works without the server."""
        return self._transport.send("GET", _path(task, "classifier")).content

    def quality(self, task: str) -> Quality:
        """Judges the active version by its own examples, and finds suspicious ones. Takes seconds for thousands of examples."""
        return parse(Quality.from_json, self._transport.send("GET", _path(task, "quality")))

    def compare(self, task: str, candidates: Iterable[Candidate] | None = None) -> Comparison:
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
        return parse(Comparison.from_json, self._transport.send("POST", _path(task, "compare"), json=asked))

    def versions(self, task: str) -> tuple[Version, ...]:
        """All versions of a task, the newest first."""
        response = self._transport.send("GET", _path(task, "versions"))
        return parse(lambda body: tuple(Version.from_json(each) for each in body["versions"]), response)

    def activate(self, task: str, version: int) -> Task:
        """Makes a version the active one, which answers: an older or a newer one."""
        return parse(Task.from_json, self._transport.send("PATCH", _path(task), json={"active_version": version}))

    def events(self, *, after: str | None = None, limit: int = 100) -> EventPage:
        """Events tell what happened to tasks, in that order. The answer comes at once: ask again after a while.

        Args:
            after: `next` of the page before; by default from the oldest event there is; "latest" has no events, but a `next`.
            limit: at most 1000 events.
        """
        params: dict[str, str | int] = {"limit": limit} if after is None else {"limit": limit, "after": after}
        return parse(EventPage.from_json, self._transport.send("GET", "/v1/events", params=params))

    @cached_property
    def _limits(self) -> Limits:
        """The server's limits, asked for once: to ask before every call would cost each a round trip."""
        return ask_limits(self._transport)

    def _input_side(self, task: str | None) -> int | None:
        """The input side, in pixels, of the backbone of a task, or of new tasks; None if the server does not say."""
        used = None if task is None else self.task(task).backbone
        found = (each for each in self.backbones.list() if (each.default if used is None else each.id == used))
        return next((each.input_side for each in found), None)


def _path(task: str, *rest: str) -> str:
    return "/".join(["/v1/tasks", *(quote(part, safe="") for part in (task, *rest))])
