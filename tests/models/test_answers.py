"""Answers to a batch of questions against each question answered alone, by the head and the index themselves."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.answers.on_device import DeviceAnswers
from models.answers.on_host import HostAnswers
from models.answers.question import Answer, Question
from models.arrays import Ints
from models.heads.fitting import fit_head, fit_linear
from models.heads.head import BackboneMismatch, BackboneRef, EmbeddingSpace, Float32, Head
from models.manifest import HeadOptions, Solver
from models.novelty.detector import Background
from models.novelty.support_index import SupportIndex
from tests.helpers.devices import on_device, revealed, watched
from tests.helpers.laws import NOVELTY_LAW

DIM = 24
SPACE = EmbeddingSpace(BackboneRef("fake@1", "0" * 64), np.full(DIM, 0.3, np.float32))
KNOWN = np.random.default_rng(0).normal(0.5, 1.0, (60, DIM)).astype(np.float32)


def draw(rng: np.random.Generator, count: int) -> Float32:
    return rng.normal(0.5, 1.0, (count, DIM)).astype(np.float32)


def task(
    seed: int, ways: int, shots: int, solver: Solver, centre: bool, background: Background, negatives: int = 0
) -> tuple[Head, SupportIndex]:
    rng = np.random.default_rng(seed)
    labels: Ints = np.repeat(np.arange(ways), shots)
    embeddings = draw(rng, len(labels)) + 2.0 * draw(rng, ways)[labels]
    options = HeadOptions(solver=solver, C=2.0, centre=centre, temperature=0.7)
    head = fit_head(embeddings, [f"class {k}" for k in labels], SPACE, options)
    head = replace(head, independent=seed % 2 == 1)
    return head, SupportIndex.of(embeddings, labels, background, draw(rng, negatives))


TASKS = st.tuples(
    st.integers(0, 5),
    st.integers(2, 12),
    st.integers(1, 4),
    st.sampled_from(["logistic", "ridge", "prototype"]),
    st.booleans(),
    st.integers(0, 5),
)
# Each question: which of the tasks, how many images, and whether strangers are asked for.
ASKED = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5), st.booleans()), min_size=1, max_size=8)


@settings(deadline=None, max_examples=40)
@given(tasks=st.lists(TASKS, min_size=1, max_size=4), asked=ASKED, law=st.booleans(), spare=st.integers(0, 3))
def test_a_mixed_batch_is_answered_as_each_question_alone(
    tasks: list[tuple[int, int, int, Solver, bool, int]], asked: list[tuple[int, int, bool]], law: bool, spare: int
) -> None:
    background = Background.of(KNOWN, KNOWN.mean(axis=0), NOVELTY_LAW if law else None)
    made = [task(*each[:5], background, each[5]) for each in tasks]
    questions, start = [], spare  # Rows that nobody asks about are there too.
    for which, images, strangers in asked:
        head, index = made[which % len(made)]
        questions.append((Question(head, index if strangers else None, 3), slice(start, start + images)))
        start += images
    embeddings = draw(np.random.default_rng(1), start)
    on_device = DeviceAnswers(SPACE, lambda: background, torch.device("cpu"))
    for answers in (
        HostAnswers(SPACE, lambda: background)(embeddings, questions),
        *(on_device(torch.from_numpy(embeddings), questions) for _ in range(2)),
    ):
        assert len(answers) == len(questions)
        assert_as_each_alone(answers, questions, embeddings, background)


def assert_as_each_alone(
    answers: Sequence[Answer], questions: Sequence[tuple[Question, slice]], embeddings: Float32, background: Background
) -> None:
    for (question, rows), answer in zip(questions, answers, strict=True):
        np.testing.assert_allclose(answer.probabilities, question.head.probabilities(embeddings[rows], SPACE), atol=1e-6)
        assert answer.probabilities.dtype == np.float64
        if question.index is None:
            assert answer.neighbours is None
            continue
        assert answer.neighbours is not None
        alone = question.index.search(background.queries(embeddings[rows]), background, 3)
        np.testing.assert_allclose(answer.neighbours.novelty, alone.novelty, atol=1e-4)
        np.testing.assert_allclose(answer.neighbours.similarities, alone.similarities, atol=1e-5)
        np.testing.assert_array_equal(answer.neighbours.examples, alone.examples)


def test_no_background_is_made_where_nobody_asks_for_strangers() -> None:
    def refuse() -> Background:
        raise AssertionError

    head, _ = task(0, 3, 2, "ridge", True, Background.of(KNOWN, KNOWN.mean(axis=0)))
    (answer,) = HostAnswers(SPACE, refuse)(draw(np.random.default_rng(2), 4), [(Question(head), slice(1, 4))])
    assert answer.probabilities.shape == (3, 3)


def test_a_head_of_another_space_is_refused() -> None:
    head, _ = task(0, 3, 2, "ridge", True, Background.of(KNOWN, KNOWN.mean(axis=0)))
    elsewhere = EmbeddingSpace(BackboneRef("fake@2", "1" * 64), SPACE.mean)
    with pytest.raises(BackboneMismatch):
        HostAnswers(elsewhere, lambda: Background.of(KNOWN, SPACE.mean))(KNOWN, [(Question(head), slice(0, 3))])


def test_the_answers_of_parts_are_that_of_the_whole() -> None:
    background = Background.of(KNOWN, KNOWN.mean(axis=0), NOVELTY_LAW)
    head, index = task(0, 3, 2, "logistic", False, background)
    (whole,) = HostAnswers(SPACE, lambda: background)(KNOWN, [(Question(head, index, 2), slice(0, 60))])
    again = Answer.joined([whole.of(slice(0, 25)), whole.of(slice(25, 60))])
    np.testing.assert_array_equal(again.probabilities, whole.probabilities)
    assert again.neighbours is not None
    assert whole.neighbours is not None
    np.testing.assert_array_equal(again.neighbours.novelty, whole.neighbours.novelty)
    np.testing.assert_array_equal(again.neighbours.examples, whole.neighbours.examples)
    np.testing.assert_array_equal(again.neighbours.similarities, whole.neighbours.similarities)


@pytest.mark.parametrize("solver", ["logistic", "ridge", "prototype"])
@pytest.mark.parametrize("ways", [2, 5, 64, 1000])
def test_nothing_but_answers_comes_to_the_host(solver: Solver, ways: int) -> None:
    """From embeddings to fitted heads to the answers of a mixed batch, on tensors that refuse to be copied."""
    rng = np.random.default_rng(3)
    background = Background.of(KNOWN, KNOWN.mean(axis=0), NOVELTY_LAW)
    space = EmbeddingSpace(SPACE.backbone, on_device(SPACE.mean))
    options = HeadOptions(solver=solver, C=2.0, centre=True, temperature=0.7)
    labels = np.tile(np.arange(ways), 2)
    support = draw(rng, 2 * ways) + 2.0 * draw(rng, ways)[labels]
    with watched():
        linear = fit_linear(on_device(support), labels, ways, space, options)
    names = tuple(f"class {k}" for k in range(ways))
    head = Head(names, revealed(linear.weight), revealed(linear.bias), options, SPACE.backbone)
    wanted = fit_head(support, [names[k] for k in labels], SPACE, options)
    small, index = task(0, 3, 2, "logistic", False, background)
    queries = draw(rng, 6)
    asked = [
        (Question(head, SupportIndex.of(support, labels, background), 3), slice(0, 2)),
        (Question(small, index, 3), slice(2, 4)),
        (Question(head), slice(4, 6)),
    ]
    answer = DeviceAnswers(SPACE, lambda: background, torch.device("cpu"))
    with watched(copies=1) as traffic:
        answers = answer(on_device(queries), asked)
    assert traffic.copies == 1
    assert traffic.launches > 0
    expected = [wanted.probabilities(queries[:2], SPACE), *(q.head.probabilities(queries[own], SPACE) for q, own in asked[1:])]
    for found, probabilities in zip(answers, expected, strict=True):
        np.testing.assert_allclose(found.probabilities, probabilities, atol=1e-4)
