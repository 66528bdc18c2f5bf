"""A task as a function of CVAT's automatic annotation, run by the SDK's own driver on tasks that a stand-in has."""

import io
import logging
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import PIL.Image
import pytest
from cvat_sdk import models
from cvat_sdk.auto_annotation import driver

from headstart import Client, ServerUnreachable, Task, TaskNotFound
from headstart_cvat import TaggingFunction, create
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess


@pytest.fixture(scope="module")
def task(server: ServerProcess, support: Labelled) -> Task:
    with Client(server.url) as client:
        return client.create_task("kinds", support)


@pytest.fixture
def function(client: Client, task: Task) -> TaggingFunction:
    return TaggingFunction(client, task.id)


class Cvat:
    """A server of CVAT with one task: its labels, its images, and the tags that it was sent."""

    def __init__(self, labels: list[str], images: Sequence[PIL.Image.Image], kind: str = "tag") -> None:
        self.labels = [
            models.Label(id=100 + number, name=label, type=kind, attributes=[], sublabels=[])
            for number, label in enumerate(labels)
        ]
        self.samples = [
            SimpleNamespace(
                frame_name=f"{number}.jpg", frame_index=number, media=SimpleNamespace(load_image=lambda image=image: image)
            )
            for number, image in enumerate(images)
        ]
        self.logger = logging.getLogger("cvat")
        self.tasks = SimpleNamespace(api=SimpleNamespace(partial_update_annotations=self._take))
        self.tags: dict[int, list[str]] = {}

    def annotate(self, function: TaggingFunction, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        """Does what `cvat-cli task auto-annotate` does."""
        monkeypatch.setattr(driver, "TaskDataset", lambda *_arguments, **_options: self)
        cvataa.annotate_task(self, 1, function, **options)

    def _take(self, action: str, _task: int, *, patched_labeled_data_request: models.PatchedLabeledDataRequest) -> None:
        assert action == "create"
        assert not patched_labeled_data_request.shapes
        names = {label.id: label.name for label in self.labels}
        for tag in patched_labeled_data_request.tags:
            assert tag.source == "auto"
            self.tags.setdefault(tag.frame, []).append(names[tag.label_id])


def photographs() -> list[PIL.Image.Image]:
    """Some of known kinds, and one of none, so small that they are sent as they are."""
    paths = [*sorted(SAMPLES.glob("query/*/*.jpg"))[::3], SAMPLES / "stranger" / "cat.jpg"]
    images: list[PIL.Image.Image] = [PIL.Image.open(io.BytesIO(path.read_bytes())) for path in paths]
    for image in images:
        image.thumbnail((300, 300))
    return images


def test_tags_what_the_server_knows(
    function: TaggingFunction, task: Task, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = photographs()
    cvat = Cvat([each.label for each in task.classes][::-1], images)
    cvat.annotate(function, monkeypatch)
    expected = client.predict(task.id, images).checked()
    assert {each.known for each in expected} == {True, False}
    assert cvat.tags == {frame: [each.label] for frame, each in enumerate(expected) if each.known}


def test_keeps_to_the_threshold(function: TaggingFunction, task: Task, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    images = photographs()
    known = [each.probability for each in client.predict(task.id, images).checked() if each.known]
    least = sorted(known)[len(known) // 2]
    cvat = Cvat([each.label for each in task.classes], images)
    cvat.annotate(function, monkeypatch, conf_threshold=least)
    assert 0 < len(cvat.tags) == sum(each >= least for each in known) < len(known)


def test_gives_each_of_several_labels(client: Client, support: Labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = sorted({label for label, _ in support})
    examples = [([label, "first"] if label in kinds[:2] else [label], image) for label, image in support]
    task = client.create_task("several", examples, several_labels=True)
    images = [PIL.Image.open(io.BytesIO(image)) for _, image in support[::5]]
    cvat = Cvat([*kinds, "first"], images)
    cvat.annotate(TaggingFunction(client, task.id), monkeypatch)
    expected = client.predict(task.id, images).checked()
    assert any(len(each.labels or ()) == 2 for each in expected)
    assert cvat.tags == {frame: [*(each.labels or ())] for frame, each in enumerate(expected) if each.labels and each.known}


def test_labels_are_tags(function: TaggingFunction, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which CVAT checks: a label of rectangles cannot be a tag, and one that the project lacks is named."""
    labels = [each.label for each in task.classes]
    assert [label.name for label in function.spec.labels] == labels
    with pytest.raises(cvataa.BadFunctionError, match="has type 'tag' in the function, but 'rectangle' in the dataset"):
        Cvat(labels, [], "rectangle").annotate(function, monkeypatch)
    with pytest.raises(cvataa.BadFunctionError, match=f"'{labels[-1]}' is not in dataset"):
        Cvat(labels[:-1], []).annotate(function, monkeypatch)


def test_a_label_learned_meanwhile_gives_no_tag(
    client: Client, support: Labelled, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    task = client.create_task("grows", support[:10])
    function = TaggingFunction(client, task.id)
    client.add_examples(task.id, support[10:15])
    images = [PIL.Image.open(io.BytesIO(image)) for _, image in (support[10], support[0])]
    cvat = Cvat([each.label for each in task.classes], images)
    cvat.annotate(function, monkeypatch)
    assert cvat.tags == {1: [support[0][0]]}
    assert f"the task has learned {support[10][0]!r} since this began" in caplog.text


def test_a_large_photograph_is_sent_smaller(function: TaggingFunction, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of noise, whose PNG is larger than the server takes."""
    noise = np.random.default_rng(0).integers(0, 256, (1500, 3000, 3), np.uint8)
    Cvat([label.name for label in function.spec.labels], [PIL.Image.fromarray(noise)]).annotate(function, monkeypatch)


def test_is_made_by_the_name_that_the_command_looks_for(server: ServerProcess, task: Task) -> None:
    function = create(task=task.id, url=server.url)
    function._client.close()
    assert isinstance(function.spec, cvataa.DetectionFunctionSpec)


def test_says_what_is_wrong(server: ServerProcess) -> None:
    with pytest.raises(TaskNotFound, match="no task 'task_1'"):
        create("task_1", server.url)
    with pytest.raises(ServerUnreachable, match=r"no answer from http://127\.0\.0\.1:9"):
        create("task_1", "http://127.0.0.1:9")


def test_says_which_package_is_missing() -> None:
    without = "import sys; sys.modules['cvat_sdk'] = None; import headstart_cvat"
    ended = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert ended.stderr.endswith("ModuleNotFoundError: cvat-sdk is not installed: pip install 'headstart-client[cvat]'\n")
