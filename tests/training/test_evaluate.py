"""`headstart-train evaluate`, and the figures under it: against scikit-learn and against counts by hand."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info

from models.heads.head import Float32
from tests.helpers.bundles import small_bundle
from tests.helpers.heads import options
from tests.helpers.samples import Labelled
from training.__main__ import main
from training.evaluation.confusion import Confusion, draw, neighbours_order
from training.evaluation.episodes import EpisodeSampler
from training.evaluation.evaluate import episode_scores, run_episodes, score

CLASSES, IMAGES, DIM, EPISODES = 8, 30, 24, 12
BY_CLASS = [np.arange(IMAGES * k, IMAGES * (k + 1)) for k in range(CLASSES)]


@pytest.fixture(scope="module")
def embeddings() -> Float32:
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(CLASSES, DIM)), IMAGES, axis=0)
    return (centres + 1.5 * rng.normal(size=centres.shape)).astype(np.float32)


def by_scikit_learn(embeddings: Float32, mean: Float32, sampler: EpisodeSampler) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities (episodes, Q, K) and the episodes' classes (episodes, K)."""
    space = (embeddings - mean) / np.linalg.norm(embeddings - mean, axis=1, keepdims=True)
    probabilities, classes = [], []
    for index in range(EPISODES):
        episode = sampler.episode(index)
        labels = np.repeat(np.arange(sampler.ways), sampler.shots)
        fitted = LogisticRegression(C=3.0, tol=1e-9, max_iter=10_000).fit(space[episode.support.ravel()], labels)
        probabilities.append(fitted.predict_proba(space[episode.query.ravel()]))
        classes.append(episode.classes)
    return np.stack(probabilities), np.stack(classes)


@pytest.mark.parametrize(("ways", "shots"), [(2, 1), (5, 5), (8, 20)])
def test_score_equals_a_loop_with_scikit_learn(embeddings: Float32, ways: int, shots: int) -> None:
    mean = embeddings.mean(axis=0)
    sampler = EpisodeSampler(BY_CLASS, ways, shots, 7, seed=3)
    confusion = Confusion(CLASSES)
    scored = score(embeddings, mean, sampler, EPISODES, options(), confusion)
    probabilities, classes = by_scikit_learn(embeddings, mean, sampler)
    truth = np.repeat(np.arange(ways), 7)
    hits = probabilities.argmax(axis=2) == truth
    accuracies = hits.mean(axis=1)
    assert scored.accuracy == pytest.approx(accuracies.mean(), abs=1e-9)
    assert scored.ci95 == pytest.approx(1.96 * accuracies.std(ddof=1) / math.sqrt(EPISODES), abs=1e-9)

    confidence = probabilities.max(axis=2)
    ece = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            ece += inside.mean() * abs(hits[inside].mean() - confidence[inside].mean())
    assert scored.ece == pytest.approx(ece, abs=1e-3)

    called, could = np.zeros((2, CLASSES, CLASSES), dtype=int)
    for episode, names in enumerate(classes):
        for query, label in enumerate(truth):
            called[names[label], names[probabilities[episode, query].argmax()]] += 1
            could[names[label], names] += 1
    np.testing.assert_array_equal(confusion.called, called)
    np.testing.assert_array_equal(confusion.could, could)


def test_scores_do_not_depend_on_how_episodes_are_stacked(embeddings: Float32) -> None:
    sampler = EpisodeSampler(BY_CLASS, 5, 5, 7, seed=0)

    def scores(**limit: int) -> Float32:
        return np.concatenate([part for part, _ in episode_scores(embeddings, sampler, EPISODES, options(), **limit)])

    np.testing.assert_allclose(scores(most_in_stack=5), scores(), rtol=0, atol=1e-5)


def test_an_unfinished_evaluation_leaves_the_thread_settings_as_they_were(embeddings: Float32) -> None:
    before = threadpool_info()
    stacks = run_episodes(embeddings, EpisodeSampler(BY_CLASS, 5, 1, 7, seed=0), 1000, options())
    next(stacks)
    stacks.close()
    assert threadpool_info() == before


def test_one_episode_has_an_accuracy_and_no_interval(embeddings: Float32) -> None:
    scored = score(embeddings, embeddings[0], EpisodeSampler(BY_CLASS, 5, 1, 7, seed=0), 1, options())
    assert 0 < scored.accuracy <= 1
    assert math.isnan(scored.ci95)


RATES = np.array([[0.9, 0.0, 0.4, 0.1], [0.0, 1.0, 0.0, 0.3], [0.2, 0.0, 0.8, np.nan], [0.0, 0.1, np.nan, 0.9]])


def confusion_of(rates: NDArray[np.float64]) -> Confusion:
    confusion = Confusion(len(rates))
    confusion.could = np.where(np.isnan(rates), 0, 10)
    confusion.called = (np.nan_to_num(rates) * 10).round().astype(np.int64)
    return confusion


def test_the_most_confused_pairs_count_both_directions() -> None:
    confusion = confusion_of(RATES)
    np.testing.assert_allclose(confusion.rates(), RATES)
    pairs = confusion.most_confused(3)
    assert [pair[:2] for pair in pairs] == [(0, 2), (1, 3), (0, 3)]
    assert [pair[2] for pair in pairs] == pytest.approx([0.3, 0.2, 0.05])
    assert len(confusion.most_confused(100)) == 6


def test_confused_classes_become_neighbours() -> None:
    assert neighbours_order(RATES) in ([2, 0, 3, 1], [1, 3, 0, 2])
    line = np.random.default_rng(0).permutation(12)
    distance = np.abs(line[:, None] - line)
    order = line[neighbours_order(np.exp(-distance))]
    assert (np.abs(np.diff(order)) <= 2).all()


@pytest.mark.parametrize("classes", [2, 40])
def test_a_picture_is_drawn_of_any_number_of_classes(classes: int, tmp_path: Path) -> None:
    rates = np.random.default_rng(0).random((classes, classes)) ** 4
    draw(confusion_of(rates), [f"class_{k}" for k in range(classes)], "title", tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 400


@pytest.fixture(scope="module")
def evaluate(
    tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path, support: Labelled, queries: Labelled
) -> Callable[..., int]:
    """Runs `evaluate` on the sample images, 15 of each of five classes, with a small bundle."""
    folder = tmp_path_factory.mktemp("samples")
    for k, (label, image) in enumerate([*support, *queries]):
        (folder / "images" / label).mkdir(parents=True, exist_ok=True)
        (folder / "images" / label / f"{k}.png").write_bytes(image)
    file = folder / "split.json"
    file.write_text(json.dumps({"dataset": "samples", "train": [], "validation": [], "test": sorted({y for y, _ in support})}))
    small_bundle(shipped_bundle, folder / "bundles", "small")
    bundle = folder / "bundles" / "small" / "1"
    data = ["--data", str(folder / "images"), "--split", str(file)]
    return lambda *flags: main(["evaluate", str(bundle), *data, "--engine", "onnx", "--episodes", "20", "--queries", "4", *flags])


def test_evaluate_scores_every_way_with_every_shot(evaluate: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--ways", "2", "5", "--shots", "1", "3", "10", "--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    shapes = [(row["ways"], row["shots"], row["queries"], row["episodes"]) for row in document["results"]]
    assert shapes == [(ways, shots, 4, 20) for ways in (2, 5) for shots in (1, 3, 10)]
    for row in document["results"]:
        assert row.keys() == {"ways", "shots", "queries", "episodes", "accuracy", "ci95", "ece"}
        assert 1 / row["ways"] < row["accuracy"] <= 1
    assert document["embedding"]["images"] == 75
    assert document["episodes"]["count"] == 120
    assert document.keys() == {"results", "embedding", "episodes"}


def test_evaluate_draws_the_confusion_and_names_pairs(
    evaluate: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "confusion.png"
    assert evaluate("--shots", "1", "--confusion", str(picture)) == 0
    printed = capsys.readouterr().out
    assert "75 images embedded in" in printed
    _, pairs = printed.split("are in the episode:\n")
    assert len(pairs.splitlines()) == 5
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG"
    assert evaluate("--shots", "1", "--confusion", str(picture), "--json") == 0
    confused = json.loads(capsys.readouterr().out)["confused"]
    assert [pair["rate"] for pair in confused] == sorted((pair["rate"] for pair in confused), reverse=True)
    assert all(len(set(pair["classes"])) == 2 for pair in confused)


def test_evaluate_gives_flipped_images_lines_of_their_own(
    evaluate: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--shots", "1", "--json") == 0
    alone = json.loads(capsys.readouterr().out)["results"]
    assert evaluate("--shots", "1", "--flip", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["results"] == alone
    assert document["flipped"][0].keys() == alone[0].keys()
    assert document["flipped"] != alone
    assert evaluate("--shots", "1", "--flip") == 0
    assert "mirror image" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--ways", "6"), "6-way episodes need 6 classes, got 5"),
        (("--shots", "12"), "12-shot episodes with 4 queries need more than 15 images per class"),
        (("--confusion", "nowhere/picture.png"), "there is no folder nowhere"),
    ],
)
def test_evaluate_refuses_in_one_line(
    evaluate: Callable[..., int], capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    assert evaluate(*flags) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_evaluate_needs_two_episodes_for_an_interval(evaluate: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        evaluate("--episodes", "1")
    assert refused.value.code == 2
    assert "1 is less than 2" in capsys.readouterr().err
