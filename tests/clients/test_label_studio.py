"""The backend of Label Studio, in a process of its own between a real server and what Label Studio sends."""

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest

from benchmarks.server_process import ROOT, free_port
from headstart import Client, Task
from headstart_label_studio.__main__ import main
from headstart_label_studio.labelling import read_labelling
from tests.helpers.label_studio import PERSONAL, TOKEN, Host, Project, config_of, running_backend
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess

_numbers = count(1)


@pytest.fixture(scope="module")
def host(support: Labelled, queries: Labelled) -> Iterator[Host]:
    """A host with the sample images: `/data/upload/1/s0.png` and on to learn from, and `q0.png` and on to recognise."""
    with Host() as host:
        for letter, images in (("s", support), ("q", queries)):
            host.images |= {f"/data/upload/1/{letter}{number}.png": image for number, (_, image) in enumerate(images)}
        yield host


@pytest.fixture(scope="module")
def backend(host: Host, server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with running_backend(host.url, server.url, tmp_path_factory.mktemp("backend"), TOKEN) as backend:
        yield backend


@pytest.fixture
def project(backend: httpx.Client, support: Labelled) -> Project:
    return Project(backend, next(_numbers), config_of(sorted({label for label, _ in support})))


def learned(project: Project, support: Labelled, images: range) -> None:
    """Annotations of some of the sample images, whose ids are their numbers."""
    annotated: list[tuple[int, object, str]] = [(number, _address(number), support[number][0]) for number in images]
    project.annotate_many(annotated).raise_for_status()


def _address(number: int, letter: str = "s") -> str:
    return f"/data/upload/1/{letter}{number}.png"


def task_of(client: Client, project: Project) -> Task:
    (task,) = [task for task in client.tasks() if f"project {project.uid} of" in task.name]
    return task


def labels_of(client: Client, project: Project) -> dict[str | None, str | None]:
    return {example.file_name: example.label for example in client.examples(task_of(client, project).id)}


class TestHealth:
    def test_is_told_within_a_second(self, backend: httpx.Client) -> None:
        for path in ("/health", "/"):
            begun = time.monotonic()
            assert backend.get(path).json()["status"] == "UP"
            assert time.monotonic() - begun < 1

    def test_needs_no_server(self, host: Host, tmp_path: Path) -> None:
        nowhere = f"http://127.0.0.1:{free_port()}"
        with running_backend(host.url, nowhere, tmp_path, TOKEN) as backend:
            assert backend.get("/health").status_code == 200
            assert Project(backend, 1, config_of(["a", "b"])).setup().status_code == 502


class TestSetup:
    def test_names_the_version(self, project: Project, client: Client, support: Labelled) -> None:
        assert project.setup().json() == {"model_version": "untrained"}
        learned(project, support, range(0, 25, 5))
        task = task_of(client, project)
        assert project.setup().json() == {"model_version": f"{task.id}/1"}

    @pytest.mark.parametrize(
        "config", ["<View/>", "<View><Text name='t' value='$t'/><Choices name='c' toName='t'/></View>", "<View>", ""]
    )
    def test_refuses_a_project_without_choices_about_an_image(self, backend: httpx.Client, config: str) -> None:
        refused = Project(backend, 1, config).setup()
        assert refused.status_code == 400
        assert "the labelling interface" in refused.json()["error"]


class TestPredict:
    def test_has_calibrated_choices_of_the_server(
        self, project: Project, client: Client, support: Labelled, queries: Labelled
    ) -> None:
        learned(project, support, range(25))
        asked = range(0, 50, 7)
        told = project.predict(*(_address(number, "q") for number in asked))
        task = task_of(client, project)
        expected = client.predict(task.id, [queries[number][1] for number in asked]).checked()
        assert any(prediction.known for prediction in expected)
        for each, prediction in zip(told, expected, strict=True):
            assert each["model_version"] == f"{task.id}/{task.version}"
            if prediction.known:
                (region,) = each["result"]
                assert region == {
                    "from_name": "choice",
                    "to_name": "image",
                    "type": "choices",
                    "value": {"choices": [prediction.label]},
                    "score": pytest.approx(prediction.probability),
                }
                assert each["score"] == pytest.approx(prediction.probability)
            else:
                assert (each["result"], each["score"]) == ([], 0)

    def test_has_nothing_for_a_stranger(self, project: Project, client: Client, host: Host, support: Labelled) -> None:
        learned(project, support, range(25))
        host.images["/data/upload/1/cat.jpg"] = (ROOT / "clients" / "samples" / "stranger" / "cat.jpg").read_bytes()
        assert not client.predict(task_of(client, project).id, host.images["/data/upload/1/cat.jpg"]).checked()[0].known
        (told,) = project.predict("/data/upload/1/cat.jpg")
        assert (told["result"], told["score"]) == ([], 0)

    def test_has_no_prediction_before_two_labels_are_known(self, project: Project, support: Labelled) -> None:
        """Label Studio would keep one without a result, and never ask again for an image that is opened from its list."""
        learned(project, support, range(2))
        assert project.answer_about(_address(0), _address(1)) == {"results": [[], []], "model_version": "untrained"}

    def test_goes_on_past_images_that_cannot_be_had(self, project: Project, host: Host, support: Labelled) -> None:
        learned(project, support, range(25))
        host.images["/data/upload/1/text.png"] = b"no image"
        told = project.predict(_address(0), "/data/upload/1/gone.png", None, "/data/upload/1/text.png", _address(5))
        assert [bool(each["result"]) for each in told] == [True, False, False, False, True]
        (told_alone,) = project.predict("/data/upload/1/text.png")
        assert (told_alone["result"], told_alone["score"]) == ([], 0)

    def test_names_no_label_that_the_project_lacks(self, project: Project, support: Labelled) -> None:
        learned(project, support, range(25))
        fewer = Project(project.backend, project.id, config_of(["other"]))
        assert [each["result"] for each in fewer.predict(_address(0))] == [[]]


class TestWebhook:
    def test_makes_an_annotation_an_example(self, project: Project, client: Client, support: Labelled) -> None:
        first, other = support[0][0], support[5][0]
        for number, (id_, label) in enumerate(((0, first), (1, first), (5, other), (6, other))):
            assert project.annotate(id_, _address(id_), label).status_code == 200
            if number >= 2:
                assert task_of(client, project).version == number - 1
        assert labels_of(client, project) == {f"annotation-{id_}": support[id_][0] for id_ in (0, 1, 5, 6)}

    def test_gives_an_updated_annotation_its_new_label(self, project: Project, client: Client, support: Labelled) -> None:
        learned(project, support, range(15))
        project.annotate(3, _address(3), support[5][0], action="ANNOTATION_UPDATED").raise_for_status()
        assert labels_of(client, project)["annotation-3"] == support[5][0]
        version = task_of(client, project).version
        project.annotate(3, _address(3), support[5][0], action="ANNOTATION_UPDATED").raise_for_status()
        assert task_of(client, project).version == version, "nothing was changed"
        project.annotate(20, _address(20), support[20][0], action="ANNOTATION_UPDATED").raise_for_status()
        assert labels_of(client, project)["annotation-20"] == support[20][0], "it had not heard of it"

    def test_removes_what_was_deleted_or_is_skipped(self, project: Project, client: Client, support: Labelled) -> None:
        learned(project, support, range(15))
        project.delete(1, 2, 999).raise_for_status()
        project.annotate(3, _address(3), support[3][0], action="ANNOTATION_UPDATED", skipped=True).raise_for_status()
        project.annotate(21, _address(21), support[21][0], skipped=True).raise_for_status()
        project.annotate(22, _address(22)).raise_for_status()
        assert labels_of(client, project).keys() == {f"annotation-{id_}" for id_ in range(15) if id_ not in {1, 2, 3}}

    def test_counts_deletions_and_updates_before_there_is_a_task(
        self, project: Project, client: Client, support: Labelled
    ) -> None:
        learned(project, support, range(3))
        project.delete(0).raise_for_status()
        project.annotate(1, _address(1), support[5][0], action="ANNOTATION_UPDATED").raise_for_status()
        assert labels_of(client, project) == {"annotation-1": support[5][0], "annotation-2": support[2][0]}

    def test_keeps_the_last_example_of_the_last_labels(self, project: Project, client: Client, support: Labelled) -> None:
        learned(project, support, range(4, 6))
        assert project.delete(4).status_code == 200
        assert labels_of(client, project).keys() == {"annotation-4", "annotation-5"}

    def test_starts_over_where_the_task_was_deleted(self, project: Project, client: Client, support: Labelled) -> None:
        learned(project, support, range(4, 6))
        client.delete(task_of(client, project).id)
        learned(project, support, range(14, 16))
        assert labels_of(client, project).keys() == {"annotation-14", "annotation-15"}

    def test_lets_an_image_have_several_labels(self, backend: httpx.Client, client: Client, support: Labelled) -> None:
        labels = sorted({label for label, _ in support})
        project = Project(backend, next(_numbers), config_of(labels, several=True))
        for number in (0, 1, 5, 6, 10, 11):
            further = labels[:1] if number == 5 else []
            project.annotate(number, _address(number), support[number][0], *further).raise_for_status()
        task = task_of(client, project)
        assert task.labels == "multiple"
        examples = {example.file_name: set(example.classes) for example in client.examples(task.id)}
        assert examples["annotation-5"] == {support[5][0], labels[0]}
        (told,) = project.predict(_address(5))
        prediction = client.predict(task.id, support[5][1]).checked()[0]
        assert prediction.labels
        assert told["result"][0]["value"]["choices"] == [*prediction.labels]

    @pytest.mark.parametrize("action", ["PROJECT_UPDATED", "TASKS_CREATED", "START_TRAINING"])
    def test_has_nothing_to_do_with_other_actions(self, project: Project, action: str) -> None:
        assert project.hook(action, tasks=[]).json() == {"status": "ignored"}

    def test_goes_on_after_a_restart(
        self, project: Project, client: Client, support: Labelled, host: Host, server: ServerProcess, tmp_path: Path
    ) -> None:
        learned(project, support, range(0, 25, 5))
        with running_backend(host.url, server.url, tmp_path, PERSONAL) as other:
            again = Project(other, project.id, project.config)
            assert again.setup().json() == {"model_version": f"{task_of(client, project).id}/1"}
            again.delete(0).raise_for_status()
            again.annotate(1, _address(1), support[1][0]).raise_for_status()
        assert labels_of(client, project).keys() == {f"annotation-{id_}" for id_ in (1, 5, 10, 15, 20)}
        assert "/api/token/refresh/" in host.asked


class TestImages:
    def test_come_from_one_host_alone(self, project: Project, host: Host, support: Labelled) -> None:
        learned(project, support, range(25))
        with Host(images={"/s.png": support[0][1]}) as other:
            port = other.url.rpartition(":")[2]
            host.redirects |= {"/away": f"{other.url}/s.png", "/here": _address(0)}
            addresses = [f"{other.url}/s.png", f"//127.0.0.1:{port}/s.png", f"{host.url}/away", "/away", "/here"]
            addresses += [f"http://localhost:{host.url.rpartition(':')[2]}{_address(0)}", "file:///etc/passwd", "s3://a/b.png"]
            addresses += [
                host.url.replace("//", "//a:b@") + _address(0),
                host.url.replace("http", "https") + _address(0),
                "http://[",
            ]
            assert not any(each["result"] for each in project.predict(*addresses))
            assert not other.asked
        assert project.predict(host.url + _address(0))[0]["result"]

    def test_that_cannot_be_had_make_no_example(self, project: Project, client: Client, support: Labelled) -> None:
        learned(project, support, range(4, 6))
        refused = project.annotate(7, "http://127.0.0.1:1/x.png", support[7][0])
        assert refused.status_code == 502
        assert refused.json() == {"error": "no image of these annotations can be had"}
        assert task_of(client, project).version == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b"{"}, 400),
        ({"json": []}, 400),
        ({"json": {}}, 400),
        ({"json": {"action": "ANNOTATION_CREATED"}}, 400),
        ({"json": {"action": "ANNOTATION_CREATED", "project": {"label_config": config_of(["a"])}, "annotation": 1}}, 400),
        ({"json": {"action": "x"}, "headers": {"Origin": "http://example.org"}}, 403),
    ],
)
def test_what_label_studio_does_not_send_is_refused(backend: httpx.Client, sent: dict[str, object], status: int) -> None:
    refused = backend.post("/webhook", **sent)  # type: ignore[arg-type]
    assert refused.status_code == status
    assert refused.json()["error"]


def test_choices_may_have_aliases() -> None:
    config = config_of(["cat"]).replace('value="cat"', 'value="A cat" alias="cat"')
    assert read_labelling(config).labels == {"cat"}


def test_the_command_asks_for_label_studio(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    with pytest.raises(SystemExit):
        main([])
    assert "--label-studio URL" in capsys.readouterr().err
