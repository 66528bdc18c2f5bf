"""The calls that teach: they make tasks, and add, change and remove examples."""

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from headstart.calls.paths import task_path
from headstart.http.exchange import parse
from headstart.http.methods import Calls, call
from headstart.http.steps import Steps, work
from headstart.images.examples import Examples, Labelled, labelled
from headstart.labels import label_field
from headstart.options import HeadOptions
from headstart.replies.backbones import Backbone
from headstart.replies.tasks import Task
from headstart.uploads import Broken, Progress, Shrinker, Upload


class ExampleCalls(Calls):
    """The calls that teach."""

    @call
    def create_task(
        self,
        name: str | None,
        examples: Examples,
        *,
        options: HeadOptions | None = None,
        classes: Sequence[str] = (),
        several_labels: bool = False,
        shrink: bool = True,
        broken: Broken | None = None,
        progress: Progress | None = None,
    ) -> Steps[Task]:
        """Makes a classifier from labelled images. All are sent in one request, which makes one version.

        Args:
            name: of the task; None calls it by its id.
            examples: may be none where there are `classes`.
            options: for fitting the last layer.
            classes: names of classes. They need no image where the backbone that new tasks get reads text.
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
        given = yield from _labelled(examples)
        if classes:
            fields["classes"] = json.dumps(list(classes))
        if classes and not given:
            return (yield from self._of_names(fields))
        shrinker = Shrinker(lambda: self._input_side(None)) if shrink else None
        upload = Upload(self._exchange, given, shrinker, broken, several_labels)
        return (yield from upload.send("/v1/tasks", fields, progress))

    @call
    def add_examples(
        self,
        task: str,
        examples: Examples,
        *,
        several_labels: bool = False,
        shrink: bool = True,
        broken: Broken | None = None,
        progress: Progress | None = None,
    ) -> Steps[Task]:
        """Adds examples of existing or new classes, or of none, to a task, in one request, which makes one version.

        Images of none of the classes have the label None. They help to tell strangers and nothing else.

        Args:
            several_labels: whether it is a task of several labels an image.
            shrink, broken, progress: as in `create_task`.

        Raises:
            NoImages, RequestTooLarge, InvalidImage, TypeError: as in `create_task`.
        """
        shrinker = Shrinker(lambda: self._input_side(task)) if shrink else None
        upload = Upload(self._exchange, (yield from _labelled(examples)), shrinker, broken, several_labels)
        fields = {"label_mode": "multiple"} if several_labels else {}
        return (yield from upload.send(task_path(task, "examples"), fields, progress))

    def _of_names(self, fields: Mapping[str, str]) -> Steps[Task]:
        """Steps to a task of class names alone. A form of texts is sent as one of files without names."""
        return self._ask(
            Task.from_json,
            "POST",
            "/v1/tasks",
            files=[(name, (None, value)) for name, value in fields.items()],
            headers={"Idempotency-Key": uuid.uuid4().hex},
        )

    @call
    def create_from_archive(self, name: str | None, archive: str | os.PathLike[str]) -> Steps[Task]:
        """Makes a task from a zip: one that `archive` saved, or any with a folder per class. Its images are sent as they are.

        Args:
            name: of the new task; None calls it by its id.

        Raises:
            InvalidInput: it is no such zip.
            RequestTooLarge: it is more than the server takes in one request.
            OSError: it cannot be read.
        """
        file = Path(archive)
        content = yield from work(file.read_bytes)
        return (
            yield from self._ask(
                Task.from_json,
                "POST",
                "/v1/tasks",
                data={} if name is None else {"name": name},
                files=[("archive", (file.name, content))],
                headers={"Idempotency-Key": uuid.uuid4().hex},
            )
        )

    @call
    def remove_example(self, task: str, example: str) -> Steps[Task]:
        """Makes a version without this example."""
        return self._removed(task, example, forget=False)

    @call
    def relabel_example(self, task: str, example: str, label: str | Sequence[str] | None) -> Steps[Task]:
        """Makes a version in which an example has another label, or None for none. The example gets a new id there.

        In a task of several labels an image, the label is the list of them, `[]` for none.
        """
        return self._ask(Task.from_json, "PATCH", task_path(task, "examples", example), json=label_field(label))

    @call
    def forget_example(self, task: str, example: str) -> Steps[Task]:
        """Removes an example for good, with every version that was fitted with it, and makes a version without it active.

        An example that was removed, but that earlier versions still have, can be forgotten too.
        """
        return self._removed(task, example, forget=True)

    @call
    def correct(self, task: str, prediction: str, label: str | Sequence[str] | None) -> Steps[Task]:
        """Makes the image of a remembered or captured prediction an example of a class, existing or new, in a new version.

        With None it is of none of the classes: a negative. In a task of several labels an image, the label is the list of them.

        Args:
            prediction: its id.

        Raises:
            CaptureNotFound: it was not kept, or it was decided about already.
        """
        key = {"Idempotency-Key": uuid.uuid4().hex}
        body = {"prediction": prediction, **label_field(label)}
        return self._ask(Task.from_json, "POST", task_path(task, "corrections"), json=body, headers=key)

    def _removed(self, task: str, example: str, *, forget: bool) -> Steps[Task]:
        params = {"forget": True} if forget else {}
        response = yield from self._exchange.delete(task_path(task, "examples", example), params=params)
        if response is None:
            return (yield from self._ask(Task.from_json, "GET", task_path(task)))
        return parse(Task.from_json, response)

    def _input_side(self, task: str | None) -> Steps[int | None]:
        """Steps to the input side, in pixels, of the backbone of a task, or of new tasks; None if the server does not say."""
        used = None if task is None else (yield from self._ask(Task.from_json, "GET", task_path(task))).backbone
        backbones = yield from self._ask(lambda body: [*map(Backbone.from_json, body["backbones"])], "GET", "/v1/backbones")
        return next((each.input_side for each in backbones if (each.default if used is None else each.id == used)), None)


def _labelled(examples: Examples) -> Steps[list[Labelled]]:
    """Steps to examples in any form as (label, image) pairs; a folder is read."""
    if isinstance(examples, str | os.PathLike):
        return (yield from work(partial(labelled, examples)))
    return labelled(examples)
