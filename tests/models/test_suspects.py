"""Wrong labels and duplicates among examples of which they are known."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.examples.suspects import duplicate_similarity, duplicates, suspects
from models.heads.head import features
from models.heads.leave_one_out import leave_one_out
from tests.helpers.heads import options

PROTOTYPE = options("prototype", temperature=0.07)


def classes(ways: int, shots: int, dim: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Well separated classes."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(ways), shots)
    x = rng.normal(size=(ways, dim))[labels] + 0.5 * rng.normal(size=(len(labels), dim))
    return features(x.astype(np.float32), None), labels


@settings(max_examples=30, deadline=None)
@given(ways=st.integers(2, 6), shots=st.integers(4, 10), wrong=st.integers(0, 100), seed=st.integers(0, 1000))
def test_a_wrong_label_is_found_with_the_right_one(ways: int, shots: int, wrong: int, seed: int) -> None:
    x, y = classes(ways, shots, seed=seed)
    assert suspects(x, y, ways, PROTOTYPE) == []
    i = wrong % len(y)
    given = y.copy()
    given[i] = (y[i] + 1) % ways
    (suspect,) = suspects(x, given, ways, PROTOTYPE)
    assert (suspect.example, suspect.suggested) == (i, y[i])
    assert 0.5 < suspect.confidence <= 1


def overlapping(ways: int, shots: int, seed: int, dim: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Classes that are hard to tell apart, in features that all point much the same way."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(ways), shots)
    x = 10.0 + rng.normal(size=(ways, dim))[labels] + 3.5 * rng.normal(size=(len(labels), dim))
    return features(x.astype(np.float32), None), labels


def by_definition(x: np.ndarray, labels: np.ndarray, ways: int) -> list[int]:
    """The suspects, one example at a time; the least margin first."""
    centred = x - np.mean([x[labels == k].mean(axis=0) for k in range(ways)], axis=0)
    z = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    margins = []
    for i, label in enumerate(labels):
        means = [z[(labels == k) & (np.arange(len(z)) != i)].mean(axis=0) for k in range(ways)]
        cosines = np.array([z[i] @ mean / np.linalg.norm(mean) for mean in means])
        margins.append(cosines[label] - np.delete(cosines, label).max())
    least = 0.5 * np.median(margins) - 0.34
    return sorted((i for i in range(len(z)) if margins[i] < min(-0.18, least)), key=lambda i: margins[i])


@settings(max_examples=30, deadline=None)
@given(ways=st.integers(2, 6), shots=st.integers(2, 10), seed=st.integers(0, 1000))
def test_suspects_are_their_definition(ways: int, shots: int, seed: int) -> None:
    x, y = overlapping(ways, shots, seed)
    found = suspects(x, y, ways, PROTOTYPE)
    assert [suspect.example for suspect in found] == by_definition(x.astype(np.float64), y, ways)


def test_few_right_labels_are_suspects_where_classes_are_hard_to_tell_apart() -> None:
    contradicted, flagged, examples = 0, 0, 0
    for seed in range(40):
        x, y = overlapping(5, 6, seed)
        verdicts = leave_one_out(features(x, x.mean(axis=0)), y, 5, PROTOTYPE).probabilities.argmax(axis=1)
        contradicted += int((verdicts != y).sum())
        flagged += len(suspects(x, y, 5, PROTOTYPE))
        examples += len(y)
    assert contradicted > 0.2 * examples
    assert flagged <= 0.05 * examples


def test_equal_pictures_are_no_suspects_and_no_fault() -> None:
    x, y = classes(2, 3)
    assert suspects(np.repeat(x[:1], 6, axis=0), y, 2, PROTOTYPE) == []


def test_the_only_example_of_a_class_is_no_suspect() -> None:
    x, y = classes(3, 5)
    assert suspects(x[:11], y[:11], 3, PROTOTYPE) == []


def test_duplicates_within_a_class_and_across_classes() -> None:
    x, y = classes(3, 700)  # more rows than are compared at a time
    x[5], x[1500], x[2000] = x[2], x[2], x[1500]
    found = duplicates(x, y, 0.99)
    assert [(d.example, d.of) for d in found] == [(5, 2), (1500, 2), (2000, 2), (2000, 1500)]
    assert all(abs(d.similarity - 1) < 1e-5 for d in found)
    assert duplicates(x[:5], y[:5], 0.99) == []
    assert [(d.example, d.of) for d in duplicates(x[:2], y[:2], -1.0)] == [(1, 0)]


def test_what_a_duplicate_is_depends_on_the_backbone() -> None:
    x, _ = classes(10, 20)
    alike = x @ x.T
    np.fill_diagonal(alike, -1)
    assert np.mean(alike.max(axis=1) < duplicate_similarity(x)) == 0.99
