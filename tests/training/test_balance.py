"""Ways of balancing, with two losses of one shared vector, against closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchjd import aggregation

from tests.helpers.training_runs import fabric, recipe
from training.run.balance import Balance, BalancingError, Term, balancings, find_balancing
from training.run.balance.dwa import DynamicWeightAverage
from training.run.balance.gradnorm import GradNorm
from training.run.recipes import RecipeError, changed

SLOPES = torch.tensor([[3.0, 0.0, 1.0], [-2.0, 1.0, 0.0]])


def gradient(balancing: str, steps: int = 1, scale: float = 1.0) -> tuple[Tensor, Balance]:
    """The gradient of the shared vector at the origin, when loss i is exp(slope_i · vector) and the second one is scaled."""
    shared = torch.nn.Parameter(torch.zeros(1, 3))
    heads = [torch.nn.Parameter(torch.ones(())) for _ in SLOPES]
    balance, device = find_balancing(balancing).make(["one", "two"], [shared]), fabric()
    for _ in range(steps):
        shared.grad = None
        embeddings = shared * 1.0
        losses = [head * torch.exp((embeddings * slope).sum()) for head, slope in zip(heads, SLOPES, strict=True)]
        balance.backward({"one": Term(losses[0], 1.0), "two": Term(losses[1], scale)}, embeddings, device)
    assert shared.grad is not None
    assert all(head.grad is not None for head in heads)
    return shared.grad[0], balance


def test_fixed_weights_add_up() -> None:
    torch.testing.assert_close(gradient("fixed", scale=0.5)[0], SLOPES[0] + 0.5 * SLOPES[1])


def test_uncertainty_starts_as_a_sum_and_follows_its_formula() -> None:
    together, balance = gradient("uncertainty")
    torch.testing.assert_close(together, SLOPES.sum(0))
    log_variance = next(balance.parameters())
    # d/ds (exp(-s)·L + s/2) at s = 0 with L = 1.
    torch.testing.assert_close(log_variance.grad, torch.tensor([-0.5, -0.5]))


def test_pcgrad_projects_each_gradient_off_the_other() -> None:
    g, h = SLOPES
    assert g @ h < 0
    expected = (g - (g @ h) / (h @ h) * h) + (h - (h @ g) / (g @ g) * g)
    torch.testing.assert_close(gradient("pcgrad")[0], expected)


def test_mgda_takes_the_shortest_convex_combination() -> None:
    g, h = SLOPES
    share = torch.clamp(((h - g) @ h) / ((g - h) @ (g - h)), 0, 1)
    torch.testing.assert_close(gradient("mgda")[0], share * g + (1 - share) * h, rtol=1e-3, atol=1e-3)


def test_imtl_g_has_equal_projections_on_both_and_weights_that_sum_to_one() -> None:
    g, h = SLOPES
    direction = gradient("imtl-g")[0]
    torch.testing.assert_close(direction @ g / g.norm(), direction @ h / h.norm())
    weights = torch.linalg.lstsq(SLOPES.T, direction[:, None]).solution
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))


def test_nash_mtl_s_bargain_of_two_bisects_their_unit_gradients() -> None:
    g, h = SLOPES  # α_i = 1 / (‖g_i‖ √(1 + cos)) solves GGᵀα = 1/α.
    bisector = g / g.norm() + h / h.norm()
    torch.testing.assert_close(gradient("nash-mtl")[0], bisector / bisector.norm(), rtol=1e-3, atol=1e-3)


def test_fairgrad_s_weights_balance_progress_to_the_power_of_alpha() -> None:
    weights = torch.linalg.lstsq(SLOPES.T, gradient("fairgrad")[0][:, None]).solution[:, 0]
    torch.testing.assert_close((SLOPES @ SLOPES.T @ weights) ** 2.0, 1 / weights, rtol=1e-3, atol=1e-3)


def test_cagrad_is_the_best_for_the_worst_objective_in_a_ball_round_the_mean() -> None:
    basis = torch.linalg.qr(SLOPES.T).Q.T  # the best direction lies in the gradients' plane
    mean = SLOPES.mean(dim=0)
    angles = torch.linspace(0, 2 * math.pi, 100_001)
    circle = mean + 0.5 * mean.norm() * torch.stack((angles.cos(), angles.sin()), dim=1) @ basis
    best = circle[(circle @ SLOPES.T).amin(dim=1).argmax()]
    torch.testing.assert_close(gradient("cagrad")[0], best, rtol=1e-3, atol=1e-3)


def test_upgrad_and_dualproj_of_two_project_off_the_conflict() -> None:
    g, h = SLOPES
    projected = (g - (g @ h) / (h @ h) * h) + (h - (h @ g) / (g @ g) * g)
    torch.testing.assert_close(gradient("upgrad")[0], projected / 2, rtol=1e-3, atol=1e-3)
    mean = (g + h) / 2
    assert mean @ h < 0 < mean @ g
    torch.testing.assert_close(gradient("dualproj")[0], mean - (mean @ h) / (h @ h) * h, rtol=1e-3, atol=1e-3)


def test_aligned_mtl_makes_the_gradients_orthogonal_and_of_one_length() -> None:
    left, values, right = torch.linalg.svd(SLOPES, full_matrices=False)
    torch.testing.assert_close(gradient("aligned-mtl")[0], (values.min() * left @ right).mean(dim=0), rtol=1e-3, atol=1e-3)


def test_config_makes_one_angle_with_every_gradient_and_adds_up_their_progress() -> None:
    units = SLOPES / SLOPES.norm(dim=1, keepdim=True)
    direction = torch.linalg.pinv(units).sum(dim=1)
    direction = direction / direction.norm()
    torch.testing.assert_close(gradient("config")[0], (SLOPES @ direction).sum() * direction, rtol=1e-3, atol=1e-3)


def test_graddrop_keeps_one_sign_of_each_coordinate() -> None:
    up, down = SLOPES.clamp(min=0).sum(dim=0), SLOPES.clamp(max=0).sum(dim=0)
    drawn = torch.stack([gradient("graddrop")[0] for _ in range(20)])
    assert all(((row == up) | (row == down)).all() for row in drawn)
    assert set(drawn[:, 0].tolist()) == {3.0, -2.0}


def test_random_weights_are_convex_and_differ_from_step_to_step() -> None:
    drawn = torch.stack([gradient("random")[0] for _ in range(5)])
    weights = torch.linalg.lstsq(SLOPES.T, drawn.T).solution
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(5))
    assert weights.min() > 0
    assert weights[0].std() > 0.01


def test_dynamic_weight_average_follows_its_formula_after_two_periods() -> None:
    balance = DynamicWeightAverage(["one", "two", "three"], steps=2)
    seen = np.array([[3.0, 2.0], [3.4, 2.0], [1.0, 1.8], [1.2, 1.8], [1.0, 1.0]])
    totals = []
    for one, two in seen:
        terms = {"three": Term(torch.tensor(two), 0.5), "one": Term(torch.tensor(one), 2.0)}
        totals.append(balance.total(terms, torch.zeros(())).item())
    priors = np.array([2.0, 0.5])
    assert totals[:4] == pytest.approx((priors * seen[:4]).sum(axis=1))
    ratios = seen[2:4].mean(axis=0) / seen[:2].mean(axis=0)
    weights = 2 * np.exp(ratios / 2) / np.exp(ratios / 2).sum()
    assert totals[4] == pytest.approx(float((priors * weights * seen[4]).sum()))


def test_dynamic_task_prioritisation_follows_its_formula() -> None:
    balance = find_balancing("dtp").make(["one", "two"], [])
    done = None
    for losses in np.array([[0.2, 2.0], [0.3, 1.0], [0.1, 1.5]]):
        terms = {name: Term(torch.tensor(float(loss)), 1.0) for name, loss in zip(("one", "two"), losses, strict=True)}
        done = np.exp(-losses) if done is None else 0.99 * done + 0.01 * np.exp(-losses)
        weights = -(1 - done) * np.log(done)
        assert weights[1] > weights[0]
        expected = float((2 * weights / weights.sum() * losses).sum())
        assert balance.total(terms, torch.zeros(())).item() == pytest.approx(expected, rel=1e-5)


# --- the registry ---


def test_every_aggregator_of_torchjd_has_an_entry_or_a_reason_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made: set[str] = set()
    known = _aggregators()
    for name in known:
        monkeypatch.setattr(aggregation, name, lambda *_, name=name, **__: made.add(name))
    for balancing in balancings().values():
        balancing.make(["one", "two"], [])
    without = {"GradVac", "ExcessMTL", "PCD", "Krum", "TrimmedMean", "Constant", "Mean", "Sum"}
    assert made | without == known
    assert not made & without


def _aggregators() -> set[str]:
    bases = {"Aggregator", "WeightedAggregator", "GramianWeightedAggregator"}
    return {name for name in aggregation.__all__ if not name.endswith("Weighting")} - bases


def test_a_name_that_no_file_has_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(RecipeError, match=r"recipe: balancing: .*there is no luck; there are aligned-mtl, cagrad, .*upgrad"):
        changed(recipe(), {"balancing": "luck"})


def test_a_balancing_without_its_libraries_says_what_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchjd._mixins.find_spec", lambda _: None)
    with pytest.raises(BalancingError, match=r"cvxpy.*pip install '.\[balance\]'"):
        find_balancing("cagrad").make(["one", "two"], [])
    assert isinstance(find_balancing("pcgrad").make(["one", "two"], []), Balance)


def test_gradnorm_evens_out_the_gradients() -> None:
    def ratio(steps: int) -> float:
        _, balance = gradient("gradnorm", steps, scale=0.05)
        assert isinstance(balance, GradNorm)
        one, two = balance.weights.tolist()
        assert one + two == pytest.approx(2)
        return float(two * 0.05 * SLOPES[1].norm() / (one * SLOPES[0].norm()))

    assert ratio(1) < 0.2
    assert ratio(400) == pytest.approx(1, abs=0.1)
