"""Manifold mixup and invariance: their formulas by hand, and runs that they take part in."""

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.backbones import ResNet12
from tests.helpers.training_runs import BASE, CLASSES, CPU, OTHER, assert_resumes_bit_for_bit, recipe, started, trainer
from training.objectives import TURNS, Invariance, Mix, draw_mix
from training.run import learner as learners
from training.run.learner import Share
from training.run.recipes import RecipeError

RESNET = {"network": "resnet12", "widths": (4, 4, 4, 8)}
MIXED = recipe(**RESNET, mixup=2.0, rotation="all", epochs=1, precision="float32")
INVARIANT = recipe(invariance_weight=0.5, rotation="all", epochs=1)


# --- mixup ---


def test_a_mix_pairs_images_of_one_dataset_and_draws_its_block_and_share() -> None:
    torch.manual_seed(0)
    drawn = [draw_mix([5, 3], 4, 2.0, CPU) for _ in range(2000)]
    for mix in drawn[:20]:
        assert sorted(mix.partners_N[:5].tolist()) == [0, 1, 2, 3, 4]
        assert sorted(mix.partners_N[5:].tolist()) == [5, 6, 7]
    assert np.bincount([mix.block for mix in drawn], minlength=4).min() > 400
    shares = np.array([mix.share for mix in drawn])
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / 20, rel=0.15)  # of Beta(2, 2)


@pytest.mark.parametrize("block", [0, 1, 3])
def test_the_loss_of_a_mixture_is_cross_entropy_with_mixed_labels(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mix = Mix(block, 0.3, torch.tensor([2, 0, 1, 3]))
    monkeypatch.setattr(learners, "draw_mix", lambda *_: mix)
    torch.manual_seed(0)
    learner = started(MIXED, BASE).new_learner().train()
    images, labels, turns = torch.rand(4, 3, 16, 16), torch.tensor([0, 3, 5, 3]), torch.tensor([0, 1, 2, 3])
    embeddings, losses = learner(images, [Share(0, labels, None)], turns)

    network = cast("ResNet12", learner.backbone.network)
    maps = learner.backbone.normalised(images)
    for number, layer in enumerate(network.blocks):
        if number == block:
            maps = torch.stack([0.3 * maps[i] + 0.7 * maps[j] for i, j in enumerate(mix.partners_N.tolist())])
        maps = layer(maps)
    torch.testing.assert_close(embeddings, maps.mean(dim=(2, 3)))

    def soft(targets: torch.Tensor, classes: int) -> torch.Tensor:
        return 0.3 * functional.one_hot(targets, classes) + 0.7 * functional.one_hot(targets[mix.partners_N], classes)

    scores = embeddings @ learner.banks[0].weight.T + learner.banks[0].bias
    expected = -(soft(labels, CLASSES) * scores.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(losses["classes/0"], expected)
    scores = learner.rotation.head(embeddings)
    torch.testing.assert_close(losses["rotation"], -(soft(turns, TURNS) * scores.log_softmax(1)).sum(1).mean())
    torch.testing.assert_close(
        learner.eval()(images, [Share(0, labels, None)], None)[0], learner.backbone(images)
    )  # nothing is mixed in evaluation


def test_partners_bring_their_own_soft_labels() -> None:
    torch.manual_seed(0)
    teacher = started(recipe(**RESNET), BASE, OTHER).new_learner().eval().requires_grad_(False)
    learner = started(MIXED, BASE, OTHER).new_learner().train()
    shares = [Share(0, torch.tensor([0, 3, 5]), None), Share(1, torch.tensor([1, 4]), None)]
    images = torch.rand(5, 3, 16, 16)
    torch.manual_seed(1)
    mix = learner._draw_mix(shares, CPU)
    torch.manual_seed(1)
    embeddings, losses = learner(images, shares, None, teacher)
    for number, own in enumerate([slice(0, 3), slice(3, 5)]):
        soft = (teacher.banks[number].logits(teacher.backbone(images), None) / 4).softmax(1)  # type: ignore[operator]
        student = (learner.banks[number].logits(embeddings[own], None) / 4).log_softmax(1)  # type: ignore[operator]

        def divergence(target: torch.Tensor, student: torch.Tensor = student) -> torch.Tensor:
            return 16 * (target * (target.log() - student)).sum(1).mean()

        expected = mix.share * divergence(soft[own]) + (1 - mix.share) * divergence(soft[mix.partners_N[own]])
        torch.testing.assert_close(losses[f"distillation/{number}"], expected)


# --- invariance ---


def test_invariance_is_the_contrastive_loss_of_a_loop() -> None:
    torch.manual_seed(0)
    invariance, versions = Invariance(6), torch.randn(4, 5, 6)
    points = [[invariance.head(embedding).tolist() for embedding in version] for version in versions]

    def likeness(one: list[float], other: list[float]) -> float:
        a, b = np.array(one), np.array(other)
        return math.exp(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) / 0.1)

    losses = [
        -math.log(likeness(points[0][i], points[v][i]) / sum(likeness(points[0][i], points[v][j]) for j in range(5)))
        for v in range(1, 4)
        for i in range(5)
    ]
    assert invariance(versions).item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_invariance_compares_the_rotations_of_each_image() -> None:
    torch.manual_seed(0)
    learner = started(INVARIANT, BASE, OTHER).new_learner().eval()
    shares = [Share(0, torch.tensor([0, 3]), None).repeat(TURNS), Share(1, torch.tensor([1]), None).repeat(TURNS)]
    # Two images of one dataset and one of another, each dataset in four whole copies.
    embeddings, losses = learner(torch.rand(12, 3, 16, 16), shares, torch.zeros(12, dtype=torch.int64))
    versions = torch.stack([embeddings[[2 * v, 2 * v + 1, 8 + v]] for v in range(TURNS)])
    assert learner.invariance is not None
    torch.testing.assert_close(losses["invariance"], learner.invariance(versions))


# --- runs ---


@pytest.mark.parametrize("chosen", [MIXED, INVARIANT], ids=["mixup", "invariance"])
def test_runs_with_them_resume_bit_for_bit(chosen: Any, tmp_path: Path) -> None:
    assert_resumes_bit_for_bit(chosen, 3, tmp_path)


def test_invariance_is_learned(tmp_path: Path) -> None:
    # With so great a weight the steps of the usual rate are too long.
    chosen = recipe(invariance_weight=20.0, rotation="all", epochs=8, learning_rate=0.01)
    made = trainer(started(chosen, BASE), tmp_path)
    losses = [float(made.step(step)) for step in range(40)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"invariance_weight": 1.0, "rotation": "alternate"}, "rotation is alternate, not all"),
        ({"mixup": 2.0}, "conv4 has no blocks that mixup knows"),
        ({**RESNET, "mixup": 2.0, "ways": 4}, "mixup is for joint training"),
        ({**RESNET, "mixup": 2.0, "rotation": "all", "invariance_weight": 1.0}, "leave out mixup or invariance_weight"),
    ],
)
def test_what_cannot_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        started(recipe(**changes), BASE).new_learner()
