"""Several objectives at once: their shares of a batch, their weights, their gradients, and a teacher."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.training_runs import BASE, CPU, OTHER, assert_resumes_bit_for_bit, fabric, recipe, started, trainer
from training.data.dataset import DataError
from training.objectives import TURNS, ClassBank, distillation
from training.run.batches import mix
from training.run.distributed import make_fabric
from training.run.feed import Feed, TrainingSet
from training.run.learner import Learner
from training.run.loop import Trainer
from training.run.recipes import Recipe

pytestmark = pytest.mark.usefixtures("no_curves")

# --- how datasets share a batch ---


@given(
    st.lists(st.integers(50, 50_000), min_size=1, max_size=4),
    st.sampled_from([1.0, 2.0, 5.0, math.inf]),
    st.sampled_from([1, 2]),
    st.sampled_from([None, 4]),
)
def test_a_mixed_batch_is_full_and_follows_its_temperature(
    images: list[int], temperature: float, world: int, ways: int | None
) -> None:
    chosen = recipe(batch_size=64, mixing_temperature=temperature, ways=ways, shots=2)
    counts, unit = mix(images, chosen, world), world * (8 if ways else 1)
    assert sum(counts) == 64
    assert all(count >= unit and count % unit == 0 for count in counts)
    weights = np.array(images) ** (1 / temperature)
    wanted = 64 * weights / weights.sum()
    # A dataset whose fair share is below one unit still gets one, at the others' expense.
    assert all(count <= max(share + unit, unit) for count, share in zip(counts, wanted, strict=True))


def test_a_batch_that_cannot_hold_every_dataset_is_refused() -> None:
    with pytest.raises(DataError, match="too small for 3 datasets in units of 8"):
        mix([100, 100, 100], recipe(ways=4, shots=2))


def test_a_batch_that_leaves_a_rest_is_refused() -> None:
    with pytest.raises(DataError, match="a batch of 20 cannot be divided into units of 8; --set batch_size=16"):
        mix([100], recipe(ways=4, shots=2, batch_size=20))


def test_a_batch_holds_each_dataset_with_its_own_labels() -> None:
    chosen = recipe(mixing_temperature=math.inf)
    images, shares, turns = Feed([BASE, OTHER], chosen, 0, fabric()).draw(0)
    assert turns is None
    assert images.shape == (16, 3, 16, 16)
    assert [(share.dataset, len(share.labels_n)) for share in shares] == [(0, 8), (1, 8)]
    assert int(shares[1].labels_n.max()) < len(OTHER.classes)


def test_every_rotation_of_every_image_is_shown() -> None:
    chosen = recipe(rotation="all", ways=4, shots=2)
    images, (share,), turns = Feed([BASE], chosen, 0, fabric()).draw(0)
    assert turns is not None
    assert turns.tolist() == sorted(list(range(TURNS)) * 16)
    for quarter in range(TURNS):
        expected = torch.rot90(images[:16], quarter, dims=(2, 3))
        torch.testing.assert_close(images[16 * quarter : 16 * quarter + 16], expected)
    assert share.labels_n.tolist() == share.labels_n[:16].tolist() * TURNS
    assert share.tasks_TK is not None
    assert share.tasks_TK.shape == (2 * TURNS, 4)


# --- objectives ---


def test_distillation_is_a_softened_divergence() -> None:
    student, teacher = torch.randn(6, 5), torch.randn(6, 5)
    p, q = torch.softmax(teacher / 3, 1), torch.softmax(student / 3, 1)
    torch.testing.assert_close(distillation(student, teacher, 3.0), 9 * (p * (p / q).log()).sum(1).mean())
    assert distillation(teacher, teacher, 3.0).abs() < 1e-6


def test_a_normalising_bank_sees_directions_only() -> None:
    bank = ClassBank(5, 4, normalise=True)
    embeddings = torch.randn(3, 4)
    torch.testing.assert_close(bank.logits(embeddings, None), bank.logits(7 * embeddings, None))


# --- runs ---


@pytest.mark.parametrize(
    "changes",
    [
        {"balancing": "uncertainty", "rotation": "alternate"},
        {"balancing": "gradnorm", "rotation": "alternate"},
        {"balancing": "pcgrad"},
        {"balancing": "dwa", "rotation": "alternate"},
        {"balancing": "dtp"},
        {"balancing": "nash-mtl"},
        {"balancing": "mgda", "mixing_temperature": 2.0},
        {"rotation": "all", "normalise": True},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_two_datasets_train_and_resume_bit_for_bit(changes: dict[str, Any], tmp_path: Path) -> None:
    chosen = recipe(epochs=2, **changes)
    steps_per_epoch = trainer(started(chosen, BASE, OTHER), tmp_path, OTHER).feed.steps_per_epoch
    assert_resumes_bit_for_bit(chosen, steps_per_epoch + 1, tmp_path)


@pytest.mark.parametrize("balancing", ["gradnorm", "pcgrad", "mgda"])
@pytest.mark.parametrize("way", ["bfloat16", "compiled"])
def test_balancing_trains_as_a_gpu_would(balancing: str, way: str, tmp_path: Path) -> None:
    chosen = recipe(balancing=balancing, precision="bfloat16" if way == "bfloat16" else "float32")
    sets = [TrainingSet(data, None) for data in (BASE, OTHER)]
    made = Trainer(started(chosen, BASE, OTHER), sets, tmp_path, make_fabric(CPU, 1, chosen))
    if way == "compiled" and made.balance.one_pass:
        made.learner.backbone.compile(backend="aot_eager")
    assert all(math.isfinite(float(made.step(step))) for step in range(2))


def test_a_student_learns_from_its_teacher_alone(tmp_path: Path) -> None:
    taught: Recipe = recipe(epochs=3, distillation_weight=0.999, distillation_temperature=1.0)
    teacher: Learner = started(recipe(), BASE).new_learner()
    with torch.no_grad():
        for parameter in teacher.banks.parameters():
            parameter.mul_(20)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    run = trainer(started(taught, BASE), tmp_path, teacher=teacher).run()
    assert run.history[-1]["loss"] < 0.8 * run.history[0]["loss"]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
