"""The Headstart tasks of Label Studio's projects: each annotation is an example, and each image a query."""

import io
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from headstart import ApiError, Client, Example, InvalidImage, Prediction, Task, TaskNotFound, Unreadable
from headstart_label_studio.images import Images, ImageUnavailable
from headstart_label_studio.labelling import Labelling

_log = logging.getLogger(__name__)

_LONGEST_NAME = 128  # of a task
_TOO_FEW = "too_few_classes"
_UNTRAINED = "untrained"
_AT_ONCE = 64  # images in memory
_NOTHING: dict[str, Any] = {"result": [], "score": 0.0}


@dataclass(frozen=True, slots=True)
class Annotated:
    """An annotation: its id, the labels that it chose, and the address of its image."""

    id: int
    labels: tuple[str, ...]
    address: object


class _File(io.BytesIO):
    """An image with the file name by which its annotation is found again."""

    def __init__(self, content: bytes, annotation: int) -> None:
        super().__init__(content)
        self.name = _name_of(annotation)


def _name_of(annotation: int) -> str:
    return f"annotation-{annotation}"


class Projects:
    """The tasks of all projects that annotations or images have come from.

    A task is found by its name, and an example by the file name of its image. So a backend that is started anew goes on.

    Only the first annotations are held in memory, until a task can be made of them: it needs two labels.
    """

    def __init__(self, client: Client, images: Images) -> None:
        self._client = client
        self._images = images
        self._lock = Lock()  # One change at a time, and predictions know of those that came before.
        self._tasks: dict[str, str] = {}
        self._waiting: defaultdict[str, dict[int, Annotated]] = defaultdict(dict)

    def version(self, project: str) -> str:
        """Returns the name of the version that answers now."""
        with self._lock:
            return _version(self._task(project))

    def add(self, project: str, labelling: Labelling, annotations: Iterable[Annotated]) -> None:
        """Makes new annotations examples; those without a label are left out, and those whose image cannot be had.

        Raises:
            ImageUnavailable: no image can be fetched.
            HeadstartError: the server cannot be asked, or refuses.
        """
        new = [each for each in annotations if each.labels]
        with self._lock:
            if (task := self._task(project)) is None:
                self._waiting[project] |= {each.id: each for each in new}
                self._create(project, labelling)
            else:
                for first in range(0, len(new), _AT_ONCE):
                    self._extend(task, labelling, new[first : first + _AT_ONCE])

    def change(self, project: str, labelling: Labelling, annotation: Annotated) -> None:
        """Gives the example of an annotation its labels of now: adds it, or removes it where it has none. Raises as `add`."""
        with self._lock:
            if (task := self._task(project)) is None:
                self._waiting[project].pop(annotation.id, None)
                if annotation.labels:
                    self._waiting[project][annotation.id] = annotation
                self._create(project, labelling)
            elif (example := self._example(task, annotation.id)) is None:
                if annotation.labels:
                    self._extend(task, labelling, [annotation])
            elif annotation.labels:
                label = _label(annotation, labelling)
                _unless_too_few(partial(self._client.relabel_example, task.id, example.id, label))
            else:
                _unless_too_few(partial(self._client.remove_example, task.id, example.id))

    def remove(self, project: str, annotations: Iterable[int]) -> None:
        """Removes the examples of annotations that were deleted. Raises HeadstartError as `add` does."""
        with self._lock:
            task = self._task(project)
            for annotation in annotations:
                if task is None:
                    self._waiting[project].pop(annotation, None)
                elif (example := self._example(task, annotation)) is not None:
                    _unless_too_few(partial(self._client.remove_example, task.id, example.id))

    def predict(
        self, project: str, labelling: Labelling, addresses: Sequence[object]
    ) -> tuple[list[dict[str, Any] | list[Any]], str]:
        """Returns a prediction for each image, as Label Studio takes them, and the name of the version.

        An image of none of the labels, or one that cannot be had, gets no result and the score 0. Before there are two labels,
        each image gets an empty list, which Label Studio takes for no prediction at all. It would keep one without a result, and
        never ask again for an image that is opened from its list.

        Raises:
            HeadstartError: the server cannot be asked, or refuses.
        """
        with self._lock:
            task = self._task(project)
        version = _version(task)
        if task is None:
            return [[] for _ in addresses], version
        some = (addresses[first : first + _AT_ONCE] for first in range(0, len(addresses), _AT_ONCE))
        return [{**each, "model_version": version} for few in some for each in self._answers(task, labelling, few)], version

    def _answers(self, task: Task, labelling: Labelling, addresses: Sequence[object]) -> list[dict[str, Any]]:
        images = [self._image(each) for each in addresses]
        answered = iter(self._predictions(task, [image for image in images if image is not None]))
        return [_NOTHING if image is None else _told(next(answered), labelling) for image in images]

    def _predictions(self, task: Task, images: Sequence[bytes]) -> Sequence[Prediction | Unreadable]:
        if not images:
            return []
        try:
            return self._client.predict(task.id, images, remember=False)
        except InvalidImage as error:  # the only one
            return [Unreadable(error.code, error.detail)]

    def _task(self, project: str) -> Task | None:
        if (known := self._tasks.get(project)) is not None:
            try:
                return self._client.task(known)
            except TaskNotFound:
                del self._tasks[project]
        name = self._name(project)
        task = next((each for each in self._client.tasks() if each.name == name), None)
        if task is not None:
            self._tasks[project] = task.id
        return task

    def _name(self, project: str) -> str:
        return f"Label Studio project {project} of {self._images.host}"[:_LONGEST_NAME]

    def _create(self, project: str, labelling: Labelling) -> None:
        waiting = [*self._waiting[project].values()]
        if len({each.labels for each in waiting}) < 2:
            return
        examples, several = self._labelled(waiting, labelling), labelling.several
        try:
            task = self._client.create_task(self._name(project), examples, several_labels=several, broken=_tell_broken)
        except ApiError as error:
            if error.code != _TOO_FEW:
                raise
        else:
            self._tasks[project] = task.id
            del self._waiting[project]

    def _extend(self, task: Task, labelling: Labelling, annotations: Sequence[Annotated]) -> None:
        examples = self._labelled(annotations, labelling)
        self._client.add_examples(task.id, examples, several_labels=labelling.several, broken=_tell_broken)

    def _labelled(self, annotations: Iterable[Annotated], labelling: Labelling) -> list[tuple[str | Sequence[str], _File]]:
        """Returns examples of the annotations whose images can be had. Raises ImageUnavailable if there are none."""
        images = ((each, self._image(each.address)) for each in annotations)
        examples = [(_label(each, labelling), _File(image, each.id)) for each, image in images if image is not None]
        if not examples:
            raise ImageUnavailable("no image of these annotations can be had")
        return examples

    def _example(self, task: Task, annotation: int) -> Example | None:
        name = _name_of(annotation)
        return next((each for each in self._client.examples(task.id) if each.file_name == name), None)

    def _image(self, address: object) -> bytes | None:
        try:
            return self._images.fetch(address)
        except ImageUnavailable as error:
            _log.warning("%s", error)
            return None


def _unless_too_few(change: Callable[[], Task]) -> None:
    """Makes a change, unless the task would be left with fewer labels than it needs."""
    try:
        change()
    except ApiError as error:
        if error.code != _TOO_FEW:
            raise
        _log.warning("the example stays as it is: %s", error)


def _tell_broken(name: str, reason: str) -> None:
    _log.warning("no example of %s: %s", name, reason)


def _version(task: Task | None) -> str:
    return _UNTRAINED if task is None else f"{task.id}/{task.version}"


def _label(annotation: Annotated, labelling: Labelling) -> str | Sequence[str]:
    return annotation.labels if labelling.several else annotation.labels[0]


def _told(prediction: Prediction | Unreadable, labelling: Labelling) -> dict[str, Any]:
    if isinstance(prediction, Unreadable):
        _log.warning("no prediction: %s", prediction.detail)
        return _NOTHING
    labels = [*(prediction.labels or ())] if labelling.several else [prediction.label]
    if labelling.labels:  # Label Studio refuses all predictions of a call for one that its interface does not list.
        labels = [label for label in labels if label in labelling.labels]
    if not prediction.known or not labels:
        return _NOTHING
    return {"result": labelling.result(labels, prediction.probability), "score": prediction.probability}
