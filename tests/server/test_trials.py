"""What is said of several ways to fit a head, judged on the same examples."""

import numpy as np

from models.arrays import Floats
from server.journeys.tally import Tally
from server.journeys.trials import Trial, advice, best_of
from tests.helpers.heads import options


def trial(right: str, losses: float | Floats, solver: str = "logistic") -> Trial:
    """What came of a way that recognised the examples marked `+`."""
    marks = np.array([mark == "+" for mark in right])
    head = options().model_copy(update={"solver": solver})
    of_all = Tally(len(marks), len(marks), int(marks.sum()), float(marks.mean()), None)
    each = np.broadcast_to(np.asarray(losses, np.float64), marks.shape)
    return Trial("name@1", head, "leave-one-out", of_all, marks, each, np.arange(len(marks)), 1.0)


def test_a_lead_is_told_from_chance() -> None:
    current = trial("+" * 10 + "-" * 20, 1.0)
    better, barely = trial("+" * 28 + "-" * 2, 0.5, "ridge"), trial("+" * 12 + "-" * 18, 0.9, "ridge")
    assert advice(current, {1: current, 2: better}) == (
        "Candidate 2 (ridge, C = 3, name@1) recognised 28 of 30 examples, 18 more than the active version, which is more "
        "than chance explains."
    )
    assert advice(current, {1: barely}) == (
        "Candidate 1 (ridge, C = 3, name@1) recognised 12 of 30 examples, 2 more than the active version, which may be "
        "chance: more examples would tell."
    )


def test_more_is_asked_of_the_best_of_many() -> None:
    current, lead = trial("+" * 10 + "-" * 20, 1.0), trial("+" * 16 + "-" * 14, 1.0)
    assert "more than chance" in advice(current, {1: lead})
    assert "may be chance" in advice(current, {number: lead if number == 9 else current for number in range(1, 33)})


def test_the_surer_of_those_that_recognise_as_much_is_better() -> None:
    rng = np.random.default_rng(0)
    losses = rng.uniform(0.5, 1.0, 20)
    current = trial("+" * 15 + "-" * 5, losses)
    surer, hardly = trial("-" * 5 + "+" * 15, losses - 0.3), trial("+" * 15 + "-" * 5, losses - rng.normal(0.01, 0.2, 20))
    found = advice(current, {1: hardly, 2: surer})
    assert found == (
        "None of the candidates recognised more than the active version, which recognised 15 of 20 examples; Candidate 2 "
        f"(logistic, C = 3, name@1) is surer of the right labels (log-loss {surer.log_loss:.3f} instead of "
        f"{current.log_loss:.3f}), which is more than chance explains."
    )
    assert advice(current, {1: hardly}).endswith("which may be chance: more examples would tell.")


def test_the_worse_is_not_called_better() -> None:
    current = trial("+++-", 0.5)
    for other in (current, trial("++--", 0.1), trial("+++-", 0.6)):
        assert best_of(current, {1: other}) == 0
        assert advice(current, {1: other}) == (
            "None of the candidates is better than the active version, which recognised 3 of 4 examples."
        )
