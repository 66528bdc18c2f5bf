"""The Python SDK against a running server."""

from pathlib import Path

import pytest

import headstart
from benchmarks.server_process import free_port
from headstart import (
    ClassQuality,
    Client,
    Confusion,
    ExampleNotFound,
    InvalidImage,
    InvalidInput,
    ManyPredictions,
    NoImages,
    Prediction,
    Predictions,
    Task,
    TaskNotFound,
    Unreadable,
    UnreadableImages,
    UnusableTask,
    VersionNotFound,
)
from headstart.limits import Limits
from headstart.replies.joining import joined, joined_many
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess

CLASSES = {"fish", "palace", "tool", "tower", "windmill"}
BROKEN = b"this is no image"


@pytest.fixture
def task(client: Client, support: Labelled) -> Task:
    return client.create_task("samples", support)


def classes(task: Task) -> dict[str, int]:
    return {size.label: size.examples for size in task.classes}


def test_a_folder_becomes_a_task(task: Task) -> None:
    assert classes(task) == dict.fromkeys(CLASSES, 5)
    assert (task.name, task.version, task.examples) == ("samples", 1, 25)
    assert set(task.timing_ms) >= {"decode", "embed", "fit", "store", "total"}
    assert task.created_at.tzinfo is not None
    assert task.raw["id"] == task.id


def test_examples_may_be_given_in_every_form(client: Client, support: Labelled) -> None:
    by_label = {label: [image for each, image in support if each == label] for label in CLASSES}
    for examples in (support, by_label, str(SAMPLES / "support")):
        task = client.create_task(None, examples, options={"solver": "prototype"})
        assert classes(task) == dict.fromkeys(CLASSES, 5)
        assert task.head.solver == "prototype"


def test_predictions_come_in_the_order_of_the_images(client: Client, task: Task, queries: Labelled) -> None:
    images = [image for _, image in queries]
    forward = client.predict(task.id, images).checked()
    backward = client.predict(task.id, reversed(images)).checked()
    assert [each.label for each in forward] == [each.label for each in reversed(backward)]
    right = sum(each.label == label for each, (label, _) in zip(forward, queries, strict=True))
    assert right > 25, "chance is 10 of 50"
    for each in forward:
        assert next(iter(each.scores.items())) == (each.label, each.probability)
        assert sum(each.scores.values()) == pytest.approx(1, abs=1e-5)


def test_one_image_needs_no_list_and_top_k_limits_the_scores(client: Client, task: Task) -> None:
    path = next(SAMPLES.glob("query/palace/*.jpg"))
    of_path, of_text, of_bytes = (client.predict(task.id, image, top_k=2) for image in (path, str(path), path.read_bytes()))
    assert len(of_path) == 1
    assert len(of_path.checked()[0].scores) == 2
    assert of_path.results == of_text.results == of_bytes.results


def test_more_images_than_one_request_takes_keep_their_order(client: Client, task: Task, queries: Labelled) -> None:
    images = [image for _, image in queries]
    labels = [each.label for each in client.predict(task.id, images).checked()]
    carried: list[int] = []
    many = client.predict(task.id, images * 6, progress=carried.append)
    assert [each.label for each in many.checked()] == labels * 6
    assert carried == [256, 44]
    assert len(many.raw["predictions"]) == 300


def test_requests_are_bounded_in_bytes_too(
    client: Client, task: Task, queries: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [image for _, image in queries[:9]]
    whole = client.predict(task.id, images)
    room = sum(1000 + len(image) for image in images[:4])
    monkeypatch.setattr(client, "_limits", Limits(body_bytes=room * 64 // 63 + 1, images=256, new_examples=1024))
    carried: list[int] = []
    cut = client.predict(task.id, images, progress=carried.append)
    assert carried[0] == 4
    assert len(carried) > 1
    assert [each.label for each in cut.checked()] == [each.label for each in whole.checked()]


def test_many_tasks_say_what_images_show(client: Client, task: Task, queries: Labelled) -> None:
    pair = {name: sorted((SAMPLES / "support" / name).glob("*.jpg")) for name in ("palace", "windmill")}
    other = client.create_task("two", pair)
    images = [image for _, image in queries]
    carried: list[int] = []
    many = client.predict_many([other.id, task.id], [BROKEN, *images * 6], top_k=2, progress=carried.append)
    assert carried == [256, 45]
    assert (len(many), many.unusable, set(many.unreadable)) == (2, (), {0})
    for answers, asked in zip(many, (other, task), strict=True):
        assert isinstance(answers, Predictions)
        assert (answers.task, answers.version, len(answers)) == (asked.id, 1, 301)
        labels = [each.label for each in client.predict(asked.id, images).checked()]
        assert [each.label for each in answers if isinstance(each, Prediction)] == labels * 6
    assert len(many.raw["results"][0]["predictions"]) == 301

    (whole,) = client.predict_many(task.id, images[0])
    assert isinstance(whole, Predictions)
    assert len(whole.checked()[0].scores) == 1
    newest = next(iter(client.predict_many("all", images[0])))
    assert newest.task == other.id
    with pytest.raises(TaskNotFound, match="task_of_nobody"):
        client.predict_many([task.id, "task_of_nobody"], images[0])
    with pytest.raises(InvalidImage):
        client.predict_many("all", BROKEN)
    with pytest.raises(InvalidInput, match="no task"):
        client.predict_many([], images[0])


def test_a_task_that_cannot_be_asked_takes_its_place() -> None:
    """Its replies are those of the API's documentation; a server that lacks a bundle is in `test_predict_many.py`."""
    prediction = {"label": "cat", "probability": 0.9, "scores": {"cat": 0.9}}
    about = {"version": 1, "backbone": "b@1"}
    error = {"error": {"code": "backbone_unavailable", "detail": "gone"}}
    fine = {"task": "task_1", **about, "predictions": [prediction]}
    replies: list[ManyPredictions | InvalidImage] = [
        ManyPredictions.from_json({"results": [fine, {"task": "task_2", **about, **last}], "timing_ms": {"total": 1.0}})
        for last in ({"predictions": [prediction]}, error)
    ]
    replies.append(InvalidImage(422, "image_broken", "broken"))
    many = joined_many(replies)
    first, second = many
    assert isinstance(first, Predictions)
    assert first[:2] == (Prediction("cat", 0.9, {"cat": 0.9}),) * 2
    assert first[2] == Unreadable("image_broken", "broken")
    assert many.unusable == (second,) == (UnusableTask("task_2", 1, "b@1", "backbone_unavailable", "gone"),)
    assert not hasattr(second, "results")
    assert many.timing_ms == {"total": 2.0}


def test_a_call_is_transductive_if_one_of_its_requests_is() -> None:
    about = {"task": "task_1", "version": 1, "backbone": "b@1", "timing_ms": {"total": 1.0}}
    prediction = {"label": "cat", "probability": 0.9, "scores": {"cat": 0.9}}
    replies = [
        Predictions.from_json({**about, "mode": mode, "predictions": [prediction]}) for mode in ("transductive", "inductive")
    ]
    assert (joined(replies).mode, joined(replies[1:]).mode) == ("transductive", "inductive")


def test_an_unreadable_image_takes_its_place_and_has_no_label(client: Client, task: Task, queries: Labelled) -> None:
    images = [image for _, image in queries]
    # 257 images: the last is alone in its request, where the server refuses it instead of answering in place.
    predictions = client.predict(task.id, [images[0], BROKEN, *images * 5, *images[:4], BROKEN])
    assert len(predictions) == 257
    assert set(predictions.unreadable) == {1, 256}
    assert not hasattr(predictions[1], "label")
    assert isinstance(predictions[2], Prediction)
    assert isinstance(predictions[256], Unreadable)
    with pytest.raises(UnreadableImages) as raised:
        predictions.checked()
    assert set(raised.value.details) == {1, 256}


def test_the_only_image_being_unreadable_is_an_error(client: Client, task: Task) -> None:
    with pytest.raises(InvalidImage) as raised:
        client.predict(task.id, BROKEN)
    assert (raised.value.status, raised.value.code) == (422, "image_unsupported")
    assert raised.value.request_id


def test_a_creation_of_hundreds_of_images_is_one_version(client: Client, support: Labelled) -> None:
    carried: list[int] = []
    task = client.create_task("hundreds", support * 12, progress=carried.append)
    assert (task.version, task.examples, sum(carried)) == (1, 300, 300)
    assert [example.label for example in client.examples(task.id)][:25] == [label for label, _ in support]
    assert client.add_examples(task.id, support * 12).version == 2


def test_every_change_is_a_version_and_any_version_comes_back(client: Client, task: Task) -> None:
    added = client.add_examples(task.id, [("poppy", next(SAMPLES.glob("query/tower/*.jpg")))])
    assert (added.version, added.examples) == (2, 26)
    assert "poppy" in classes(added)

    (poppy,) = (example for example in client.examples(task.id) if example.label == "poppy")
    removed = client.remove_example(task.id, poppy.id)
    assert (removed.version, removed.examples) == (3, 25)
    with pytest.raises(ExampleNotFound):
        client.remove_example(task.id, poppy.id)

    back = client.activate(task.id, 2)
    assert (back.version, back.examples) == (2, 26)
    assert {version.version: version.active for version in client.versions(task.id)} == {1: False, 2: True, 3: False}
    with pytest.raises(VersionNotFound):
        client.activate(task.id, 9)


def test_forgetting_takes_an_example_out_of_the_history(client: Client, task: Task) -> None:
    added = client.add_examples(task.id, [("poppy", next(SAMPLES.glob("query/tower/*.jpg")))])
    (poppy,) = (example for example in client.examples(task.id) if example.label == "poppy")
    client.remove_example(task.id, poppy.id)
    assert client.forget_example(task.id, poppy.id).version == 3
    assert [version.version for version in client.versions(task.id)] == [3, 1]
    with pytest.raises(VersionNotFound):
        client.activate(task.id, added.version)
    with pytest.raises(ExampleNotFound):
        client.forget_example(task.id, poppy.id)


def test_a_change_tells_how_good_the_task_is_now(client: Client, task: Task, support: Labelled, queries: Labelled) -> None:
    found = client.quality(task.id)
    assert task.quality == found
    assert (found.task, found.version, found.method, found.judged, found.accuracy) == (task.id, 1, "leave-one-out", 25, 1.0)
    assert found.interval == pytest.approx((0.8464, 1.0), abs=1e-4)
    assert (found.prior, found.confusions, found.suspects, found.duplicates) == (None, (), (), ())
    assert [each.factor for each in found.forecast] == [2, 5]
    assert all(0.8 < each.interval[0] < each.accuracy < each.interval[1] < 1.0 for each in found.forecast)
    assert found.raw["advice"] == found.advice
    assert sum(each.examples for each in found.reliability) == 25
    assert found.reliability[-1].accuracy == 1.0
    assert client.task(task.id).quality is None

    palace, windmill = support[5][1], queries[-1][1]
    added = client.add_examples(task.id, [("windmill", palace), ("alone", windmill)])
    now = client.quality(task.id)
    assert added.quality == now
    wrong, alone = list(client.examples(task.id))[-2:]
    assert now.classes[-1] == ClassQuality("alone", 1, 1, 0, 0, None, None)
    assert Confusion("windmill", "palace", 1) in now.confusions
    assert now.prior is not None
    assert (now.prior.ways, now.prior.shots, now.prior.datasets) == (5, 5, ("CIFAR-FS",))
    assert now.prior.lowest == now.prior.accuracy == now.prior.highest
    assert [(suspect.example, suspect.label, suspect.suggested) for suspect in now.suspects] == [(wrong.id, "windmill", "palace")]
    assert [(twin.example, twin.label, twin.of_label) for twin in now.duplicates] == [(wrong.id, "windmill", "palace")]
    assert client.remove_example(task.id, alone.id).quality == client.quality(task.id)

    assert client.add_examples(task.id, [*support * 3]).quality is None, "above 100 examples"
    assert client.quality(task.id).judged == 101
    with pytest.raises(TaskNotFound):
        client.quality("task_of_nobody")


def test_example_images_come_back_byte_for_byte(client: Client, task: Task, support: Labelled) -> None:
    images = {client.example_image(task.id, example.id) for example in client.examples(task.id)}
    assert images == {image for _, image in support}


def test_a_task_can_be_renamed_and_deleted(client: Client, task: Task) -> None:
    assert client.rename(task.id, "Füchse & Wale").name == "Füchse & Wale"
    assert client.task(task.id).name == "Füchse & Wale"
    client.delete(task.id)
    with pytest.raises(TaskNotFound) as raised:
        client.task(task.id)
    assert (raised.value.status, raised.value.code) == (404, "task_not_found")
    with pytest.raises(TaskNotFound):
        client.delete(task.id)


def test_tasks_are_listed_newest_first_over_all_pages(client: Client, support: Labelled) -> None:
    pair = [support[0], support[-1]]
    created = [client.create_task(f"page {number}", pair).id for number in range(51)]
    assert [task.id for task in client.tasks() if task.id in created] == created[::-1]


def test_what_the_server_refuses_is_invalid_input(client: Client, support: Labelled) -> None:
    with pytest.raises(InvalidInput) as raised:
        client.create_task("one class", support[:5])
    assert raised.value.code == "too_few_classes"
    assert raised.value.code in str(raised.value)


def test_one_backbone_is_the_default(client: Client, task: Task) -> None:
    (default,) = (backbone for backbone in client.backbones.list() if backbone.default)
    assert default.id == task.backbone


def test_the_environment_names_the_server(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url + "/")
    with Client() as client:
        assert client.ready()
        assert client.url == server.url
    with Client(f"http://127.0.0.1:{free_port()}") as elsewhere:
        assert not elsewhere.ready()


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", ""])
def test_an_impossible_address_is_refused_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_URL", "nonsense")
    with pytest.raises(ValueError, match="must look like"):
        Client(url)


def test_folders_without_images_are_refused_before_anything_is_sent(client: Client, tmp_path: Path) -> None:
    with pytest.raises(NoImages, match="one for each class"):
        client.create_task("empty", tmp_path)
    (tmp_path / "palace").mkdir()
    (tmp_path / "palace" / "notes.txt").write_text("not an image")
    (tmp_path / "palace" / ".hidden.png").write_bytes(b"")
    with pytest.raises(NoImages, match="palace holds no images"):
        client.create_task("empty", tmp_path)
    with pytest.raises(NoImages):
        client.predict("task_of_nobody", [])
    with pytest.raises(NoImages, match="no images were given"):
        client.create_task("empty", [])
    with pytest.raises(FileNotFoundError):
        headstart.image_files(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        client.predict("task_of_nobody", tmp_path / "missing.png")


def test_a_folder_is_read_class_by_class_in_a_stable_order(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.JPG", "a/3.png", ".cache/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "README.md").touch()
    expected = [("a", tmp_path / "a/3.png"), ("b", tmp_path / "b/1.JPG"), ("b", tmp_path / "b/2.jpg")]
    assert headstart.labelled_folder(tmp_path) == expected


def test_a_folder_one_level_too_high_is_told(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", "val/cat/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(headstart.NoImages, match="two levels down, in train/cat"):
        headstart.labelled_folder(tmp_path)


def test_every_public_name_exists() -> None:
    assert sorted(headstart.__all__, key=str.casefold) == sorted(set(headstart.__all__), key=str.casefold)
    assert all(hasattr(headstart, name) for name in headstart.__all__)
