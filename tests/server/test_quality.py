"""How good a task is, over real HTTP: beside heads fitted without each example, and beside mistakes that were put in."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import httpx
import numpy as np
import pytest
from PIL import Image

from models.bundle import DEFAULT_BUNDLE, ONNX_INT8, SHIPPED, open_bundle
from models.engine import embed_all, open_engine
from models.images.preprocess import load_image
from models.manifest import Solver
from server.journeys.intervals import left_out_accuracy
from server.schemas.quality import QualityReply
from tests.helpers.heads import left_out_by_scikit_learn
from tests.helpers.images import encode
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, mislabelled, multipart, predict


def prior_of(accuracies: dict[str, float], shots: int) -> dict[str, object]:
    return {
        "accuracy": pytest.approx(sum(accuracies.values()) / len(accuracies)),
        "lowest": min(accuracies.values()),
        "highest": max(accuracies.values()),
        "ways": 5,
        "shots": shots,
        "datasets": sorted(accuracies),
    }


def ask(api: httpx.Client, task: str) -> dict[str, Any]:
    """What GET answers, without the task and version that it names."""
    response = api.get(f"/v1/tasks/{task}/quality")
    assert response.status_code == 200, response.text
    QualityReply.model_validate_json(response.content, strict=True)
    quality: dict[str, Any] = response.json()
    assert quality.pop("task") == task
    assert quality.pop("version") == api.get(f"/v1/tasks/{task}").json()["version"]
    return quality


def ids(api: httpx.Client, task: str) -> list[str]:
    """Of the active version's examples, in the order in which they were sent."""
    return [example["id"] for example in api.get(f"/v1/tasks/{task}/examples").json()["examples"]]


def assert_judged(quality: dict[str, Any], labels: Sequence[str], verdicts: Sequence[str]) -> None:
    """Accuracy, classes, confusions and reliability are what these verdicts, one for each example, come to."""
    pairs = list(zip(labels, verdicts, strict=True))
    right = sum(label == verdict for label, verdict in pairs)
    assert 0 < right < len(pairs), "a test of mistakes needs some"
    assert (quality["judged"], quality["groups"], quality["one_session"]) == (len(pairs), len(pairs), [])
    assert quality["accuracy"] == pytest.approx(right / len(pairs))
    ways = len(set(labels))
    assert quality["interval"] == pytest.approx(left_out_accuracy(right, len(pairs), 1 - ways / len(pairs)))
    assert [entry["label"] for entry in quality["classes"]] == list(dict.fromkeys(labels))
    for entry in quality["classes"]:
        own = [verdict for label, verdict in pairs if label == entry["label"]]
        recognised = own.count(entry["label"])
        assert (entry["examples"], entry["judged"], entry["recognised"]) == (len(own), len(own), recognised)
        assert (entry["groups"], entry["accuracy"]) == (len(own), recognised / len(own))
        assert entry["interval"] == pytest.approx(left_out_accuracy(recognised, len(own), 1 - 1 / len(own)))
    counts = [entry["examples"] for entry in quality["confusions"]]
    assert counts == sorted(counts, reverse=True)
    assert {(entry["label"], entry["recognised_as"]): entry["examples"] for entry in quality["confusions"]} == {
        pair: pairs.count(pair) for pair in pairs if pair[0] != pair[1]
    }
    bins = quality["reliability"]
    assert sum(entry["examples"] for entry in bins) == len(pairs)
    assert sum(entry["examples"] * entry["accuracy"] for entry in bins) == pytest.approx(right)
    assert all(entry["lowest"] <= entry["probability"] <= entry["highest"] for entry in bins)
    assert quality["prior"] is None


class TestAccuracy:
    def test_equals_scikit_learns_leave_one_out_on_the_same_embeddings(
        self, api: httpx.Client, shipped_bundle: Path, support: Labelled, queries: Labelled
    ) -> None:
        examples = mislabelled(support + queries, 6)
        task = create(api, examples)
        backbone = next(each for each in api.get("/v1/backbones").json()["backbones"] if each["id"] == task["backbone"])
        bundle = open_bundle(shipped_bundle)
        engine = open_engine(bundle, backbone["engines"][0])
        embeddings = embed_all(engine, np.stack([load_image(image, bundle.manifest.input) for _, image in examples]))
        labels = [label for label, _ in examples]
        features = engine.space.features(embeddings, task["head"]["centre"]).astype(np.float64)
        names = list(dict.fromkeys(labels))
        indices = np.array([names.index(label) for label in labels])
        left_out = left_out_by_scikit_learn(features, indices, task["head"]["C"])
        verdicts = [names[k] for k in left_out.argmax(axis=1)]
        assert task["quality"]["method"] == "leave-one-out"
        assert_judged(task["quality"], labels, verdicts)

    @pytest.mark.parametrize("solver", get_args(Solver))
    def test_equals_what_tasks_created_without_each_example_answer(
        self, api: httpx.Client, support: Labelled, solver: str
    ) -> None:
        examples = mislabelled(support[::2], 5)
        options = f'{{"solver": "{solver}"}}'
        verdicts = []
        for i, (_, image) in enumerate(examples):
            without = create(api, [*examples[:i], *examples[i + 1 :]], options=options)
            (prediction,) = predict(api, without["id"], [image])
            verdicts.append(prediction["label"])
        task = create(api, examples, options=options)
        assert_judged(task["quality"], [label for label, _ in examples], verdicts)


class TestAnswers:
    def test_creation_tells_what_get_tells(self, api: httpx.Client, support: Labelled) -> None:
        task = create(api, mislabelled(support, 6))
        assert task["quality"] == ask(api, task["id"])
        assert task["quality"]["suspects"], "nothing would be little to compare"

    def test_adding_removing_and_forgetting_change_it(self, api: httpx.Client, support: Labelled) -> None:
        task = create(api, support)
        path = f"/v1/tasks/{task['id']}/examples"
        palace = support[5][1]
        added = api.post(path, **multipart([("windmill", palace), ("new", support[0][1])])).json()["quality"]
        assert added == ask(api, task["id"])
        assert (task["quality"]["judged"], added["judged"]) == (25, 26)
        assert task["quality"]["accuracy"] > added["accuracy"]
        assert added["classes"][-1]["label"] == "new"

        *_, wrong, alone = ids(api, task["id"])
        removed = api.delete(f"{path}/{alone}").json()["quality"]
        assert removed == ask(api, task["id"])
        assert [entry["label"] for entry in removed["classes"]] == [entry["label"] for entry in task["quality"]["classes"]]
        of_an_earlier_version = api.delete(f"{path}/{alone}", params={"forget": True}).raise_for_status()
        assert of_an_earlier_version.json()["quality"] is None
        forgotten = api.delete(f"{path}/{wrong}", params={"forget": True}).json()["quality"]
        assert forgotten == ask(api, task["id"]) == task["quality"]

    def test_it_is_that_of_the_active_version(self, api: httpx.Client, support: Labelled) -> None:
        task = create(api, support)
        api.post(f"/v1/tasks/{task['id']}/examples", **multipart([("windmill", support[5][1])])).raise_for_status()
        assert ask(api, task["id"]) != task["quality"]
        api.patch(f"/v1/tasks/{task['id']}", json={"active_version": 1}).raise_for_status()
        assert ask(api, task["id"]) == task["quality"]

    def test_above_100_examples_it_is_told_to_who_asks(self, api: httpx.Client, support: Labelled, queries: Labelled) -> None:
        hundred = [*support, *queries, *support]
        assert create(api, hundred)["quality"]["judged"] == 100
        task = create(api, [*hundred, support[0]])
        assert task["quality"] is None
        assert (found := ask(api, task["id"]))["judged"] == 101
        assert found["method"] == "leave-one-out"

    def test_above_500_examples_it_is_of_folds(self, api: httpx.Client, support: Labelled) -> None:
        pair = support[:10]
        task = create(api, pair * 25)
        path = f"/v1/tasks/{task['id']}/examples"
        api.post(path, **multipart(pair * 25)).raise_for_status()
        assert ask(api, task["id"])["method"] == "leave-one-out"
        api.post(path, **multipart(pair[:1])).raise_for_status()
        found = ask(api, task["id"])
        assert (found["method"], found["judged"]) == ("20 folds", 501)
        twice, five_times = (each["accuracy"] for each in found["forecast"])
        assert 0.5 < twice < five_times < 1.0

    def test_an_unknown_task_has_none(self, api: httpx.Client) -> None:
        assert_problem(api.get("/v1/tasks/task_of_nobody/quality"), 404, "task_not_found")


class TestClassesOfOneExample:
    def test_are_not_judged_and_the_prior_and_the_advice_say_so(self, api: httpx.Client, support: Labelled) -> None:
        quality = create(api, [*support[:21]])["quality"]  # 5 of each class, and one windmill
        *others, windmill = quality["classes"]
        assert windmill == {
            "label": "windmill",
            "examples": 1,
            "groups": 1,
            "judged": 0,
            "recognised": 0,
            "accuracy": None,
            "interval": None,
            "false_positive_rate": None,
        }
        assert all(entry["judged"] == entry["examples"] == 5 for entry in others)
        assert quality["judged"] == 20
        assert quality["advice"].startswith("Add an image of 'windmill':")
        assert "windmill" not in {entry["label"] for entry in quality["confusions"]}

    @pytest.mark.parametrize(("shots", "nearest"), [(1, 1), (4, 5)])
    def test_get_the_evaluation_of_the_bundle_on_novel_classes_at_the_nearest_ways_and_shots(
        self, api: httpx.Client, shipped_bundle: Path, support: Labelled, shots: int, nearest: int
    ) -> None:
        windmills = [example for example in support if example[0] == "windmill"]
        others = [example for i, example in enumerate(support[:20]) if i % 5 < shots]
        quality = create(api, [*others, windmills[0]])["quality"]
        assert quality["prior"] in [
            prior_of({"CIFAR-FS": evaluation.accuracy}, nearest)
            for evaluation in open_bundle(shipped_bundle).manifest.evaluations
            if (evaluation.part, evaluation.solver, evaluation.shots) == ("test", "logistic", nearest)
        ]

    def test_get_the_mean_and_the_range_where_the_bundle_was_evaluated_on_several_datasets(
        self, tmp_path: Path, support: Labelled
    ) -> None:
        with (
            ServerProcess(tmp_path / "data", "--engine", "onnx-int8", bundle=DEFAULT_BUNDLE) as process,
            httpx.Client(base_url=process.url, timeout=60) as api,
        ):
            quality = create(api, support[::5])["quality"]
        accuracies = {
            evaluation.dataset: evaluation.accuracy
            for evaluation in open_bundle(SHIPPED / "photos" / "1").manifest.evaluations
            if (evaluation.part, evaluation.file, evaluation.solver, evaluation.shots) == ("test", ONNX_INT8, "logistic", 1)
        }
        assert len(accuracies) > 5
        assert quality["prior"] == prior_of(accuracies, 1)

    def test_alone_leave_nothing_to_judge(self, api: httpx.Client, support: Labelled) -> None:
        quality = create(api, support[::5])["quality"]
        assert (quality["judged"], quality["accuracy"], quality["interval"]) == (0, None, None)
        assert quality["advice"].startswith("Add an image of 'fish' and of 4 more:")
        assert (quality["confusions"], quality["suspects"], quality["duplicates"]) == ([], [], [])

    def test_have_no_prior_where_the_bundle_was_not_evaluated_with_the_solver(self, api: httpx.Client, support: Labelled) -> None:
        assert create(api, support[::5], options='{"solver": "ridge"}')["quality"]["prior"] is None


class TestWhatToLookAt:
    def test_true_labels_are_no_suspects_and_no_duplicates(self, api: httpx.Client, support: Labelled, queries: Labelled) -> None:
        quality = create(api, [*support, *queries])["quality"]
        assert (quality["suspects"], quality["duplicates"]) == ([], [])

    @pytest.mark.parametrize("position", range(2, 75, 9))
    def test_a_wrong_label_among_15_of_each_class_is_suspected_and_the_right_one_suggested(
        self, api: httpx.Client, support: Labelled, queries: Labelled, position: int
    ) -> None:
        examples = [*support, *queries]
        true = examples[position][0]
        wrong = "palace" if true == "windmill" else "windmill"
        examples[position] = (wrong, examples[position][1])
        task = create(api, examples)
        (suspect,) = task["quality"]["suspects"]
        example = ids(api, task["id"])[position]
        assert (suspect["example"], suspect["label"], suspect["suggested"]) == (example, wrong, true)
        assert 1 / 5 < suspect["confidence"] <= 1

    @pytest.mark.parametrize("label", ["fish", "windmill", "new"])
    @pytest.mark.parametrize("form", ["as it is", "PNG", "WEBP", "JPEG", "smaller"])
    def test_an_image_that_is_there_twice_is_a_duplicate(
        self, api: httpx.Client, support: Labelled, form: str, label: str
    ) -> None:
        picture = Image.open(io.BytesIO(support[2][1])).resize((320, 320), Image.Resampling.BICUBIC)
        photograph = encode(picture, "JPEG", quality=90)
        match form:
            case "as it is":
                again = photograph
            case "smaller":
                again = encode(picture.resize((200, 200)), "JPEG", quality=75)
            case "JPEG":
                again = encode(picture, "JPEG", quality=75)
            case _:
                again = encode(Image.open(io.BytesIO(photograph)), form)
        task = create(api, [*support[:2], ("fish", photograph), *support[3:], (label, again)])
        (found,) = task["quality"]["duplicates"]
        sent = ids(api, task["id"])
        assert (found["example"], found["label"]) == (sent[-1], label)
        assert (found["of"], found["of_label"]) == (sent[2], "fish")
        assert 0.99 < found["similarity"] <= 1.00001

    def test_of_several_copies_each_names_an_earlier_one_under_each_kind_of_label(
        self, api: httpx.Client, support: Labelled
    ) -> None:
        palace = support[5][1]
        task = create(api, [*support, ("palace", palace), ("windmill", palace), ("windmill", palace)])
        sent = ids(api, task["id"])
        pairs = [(sent.index(entry["example"]), sent.index(entry["of"])) for entry in task["quality"]["duplicates"]]
        assert [example for example, _ in pairs] == [25, 26, 27, 27]
        assert pairs[0] == (25, 5)
        assert pairs[1][1] in {5, 25}
        assert pairs[2][1] in {5, 25}
        assert pairs[3] == (27, 26)


class TestShotsOfOneThing:
    def test_are_left_out_together_and_a_class_of_them_is_called_one_session(self, api: httpx.Client, support: Labelled) -> None:
        (label, image), *_ = support
        picture = Image.open(io.BytesIO(image)).convert("RGB")
        shots = [(label, encode(picture.point(lambda value, by=by: value * by / 100))) for by in (100, 98, 96, 94, 92)]
        quality = create(api, [*shots, *support[5:]])["quality"]
        assert quality["one_session"] == [label]
        session, *others = quality["classes"]
        assert (session["examples"], session["groups"], session["judged"], session["accuracy"]) == (5, 1, 0, None)
        assert [entry["groups"] for entry in others] == [5] * 4
        assert (quality["groups"], quality["judged"]) == (21, 20)
        assert quality["interval"][0] <= 0.8 * quality["accuracy"]
        assert quality["interval"][1] >= 0.8 * quality["accuracy"] + 0.2
        assert quality["advice"].startswith(f"Add images of '{label}' from another time and place")

    def test_of_every_class_leave_nothing_to_judge(self, api: httpx.Client, support: Labelled) -> None:
        quality = create(api, [example for example in support[::5] for _ in range(3)])["quality"]
        assert (quality["judged"], quality["accuracy"], quality["interval"]) == (0, None, None)
        assert quality["one_session"] == [entry["label"] for entry in quality["classes"]]
        assert quality["prior"]["shots"] == 1

    def test_one_image_in_two_classes_is_recognised_in_neither(self, api: httpx.Client, support: Labelled) -> None:
        image = support[0][1]
        quality = create(api, [("a", image), ("b", image), ("a", image), ("b", image)])["quality"]
        assert (quality["judged"], quality["accuracy"], quality["one_session"]) == (4, 0.0, [])


class TestAdvice:
    def test_names_the_class_that_is_least_sure_of_its_examples_and_of_others(self, api: httpx.Client, support: Labelled) -> None:
        quality = create(api, [*support, ("windmill", support[5][1]), ("windmill", support[7][1])])["quality"]
        found = re.fullmatch(
            r"More images of '(\w+)' would help most: left out, its (\d+) got (\d+)% on average; (\d+) were taken for "
            r"another class, and (\d+) of others for it\.",
            quality["advice"],
        )
        assert found, quality["advice"]
        label, *counts = found.groups()
        assert label in {"windmill", "palace"}, "what has another's images, or the other"
        own = next(entry for entry in quality["classes"] if entry["label"] == label)
        taken = sum(pair["examples"] for pair in quality["confusions"] if pair["recognised_as"] == label)
        assert [int(count) for count in counts[::2]] == [own["examples"], own["judged"] - own["recognised"]]
        assert int(counts[3]) == taken

    def test_without_mistakes_names_the_least_sure_class(self, api: httpx.Client, support: Labelled) -> None:
        advice = create(api, support[:-1])["quality"]["advice"]
        assert re.fullmatch(
            r"Every example was recognised; more images of '\w+', the least sure of its [45], would help most\.", advice
        )
