"""The backend beside a real Label Studio: ten images are labelled, and the eleventh is pre-labelled by the newest version."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from headstart import Client, Task
from tests.helpers.label_studio import Json, config_of, running_backend
from tests.helpers.real_label_studio import LabelStudio, label_studio
from tests.helpers.samples import SAMPLES
from tests.helpers.servers import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.slow

_LABELS = ["fish", "palace"]
_ELEVENTH = SAMPLES / "query" / "palace" / "neuschwanstein.jpg"


@dataclass
class Project:
    """A project of Label Studio: its id, the tasks of its images to label by label, and the task of the eleventh."""

    studio: LabelStudio
    id: int
    tasks: list[tuple[int, str]]
    eleventh: int


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the bundle that people get."""
    with ServerProcess(tmp_path_factory.mktemp("server") / "data", bundle=None) as process:
        yield process


@pytest.fixture(scope="module")
def project(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("label-studio")
    with label_studio(folder) as studio, running_backend(studio.url, server.url, folder, studio.token) as backend:
        made = studio.ask("POST", "/api/projects/", json={"title": "kinds", "label_config": config_of(_LABELS)})
        id_ = int(made["id"])
        studio.connect(id_, str(backend.base_url).rstrip("/"))
        paths = [path for label in _LABELS for path in sorted((SAMPLES / "support" / label).glob("*.jpg"))]
        tasks = [(studio.upload(id_, path.name, path.read_bytes()), path.parent.name) for path in paths]
        yield Project(studio, id_, tasks, studio.upload(id_, _ELEVENTH.name, _ELEVENTH.read_bytes()))


def task_of(client: Client) -> Task:
    (task,) = client.tasks()
    return task


def test_the_eleventh_image_is_labelled_by_the_newest_version(project: Project, server: ServerProcess) -> None:
    studio = project.studio
    assert len(project.tasks) == 10
    assert studio.opened(project.eleventh) == [], "nothing is kept that would stand in the way of a prediction"
    for image, label in project.tasks:
        studio.annotate(image, label)
    with Client(server.url) as client:
        wait_until(lambda: task_of(client).examples == 10)
        task = task_of(client)
        (expected,) = client.predict(task.id, _ELEVENTH).checked()
        assert (expected.label, expected.known) == ("palace", True)
        for predictions in (studio.opened(project.eleventh), studio.offered(project.id)["predictions"]):
            (prediction,) = predictions
            assert prediction["model_version"] == newest(client)
            assert prediction["score"] == pytest.approx(expected.probability, abs=1e-4)
            (region,) = prediction["result"]
            assert region["value"] == {"choices": ["palace"]}


def test_a_change_is_another_version_that_labels_anew(project: Project, server: ServerProcess) -> None:
    """After the first test: an annotation is deleted, another changed, and then a third is deleted."""
    studio = project.studio
    with Client(server.url) as client:
        before = task_of(client)
        first, second, third = (studio.ask("GET", f"/api/tasks/{image}/annotations/")[0] for image, _ in project.tasks[:3])
        studio.delete(first["id"])
        wait_until(lambda: task_of(client).examples == 9)
        region = {**second["result"][0], "value": {"choices": ["palace"]}}
        studio.ask("PATCH", f"/api/annotations/{second['id']}/", json={"result": [region]})
        wait_until(lambda: {each.label: each.examples for each in task_of(client).classes} == {"fish": 3, "palace": 6})
        assert task_of(client).version == before.version + 2
        assert versions(studio.opened(project.eleventh)) == {f"{before.id}/{before.version}"}, "the list keeps what it has"

        offered = studio.offered(project.id)
        while offered["id"] != project.eleventh:  # The image whose annotation was deleted may come first.
            studio.annotate(offered["id"], "fish")
            offered = studio.offered(project.id)
        assert versions(offered["predictions"]) == {newest(client)}

        studio.delete(third["id"])
        wait_until(lambda: newest(client) not in versions(studio.opened(project.eleventh)))
        studio.retrieve(project.id)
        assert newest(client) in versions(studio.opened(project.eleventh))


def versions(predictions: list[Json]) -> set[str]:
    return {each["model_version"] for each in predictions}


def newest(client: Client) -> str:
    task = task_of(client)
    return f"{task.id}/{task.version}"
