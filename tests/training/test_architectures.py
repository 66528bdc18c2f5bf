"""Architectures of one trunk, or of one trunk for each task, against plain networks one at a time."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor
from torch.nn import functional

from tests.helpers.architectures import SMALL, built, images, labels, plain_finish, plain_layer, plain_trunk
from training.architectures import Setting, SharedNetwork, architectures
from training.architectures.concatenation import Concatenation
from training.architectures.film import Film
from training.architectures.independent import Independent
from training.architectures.knowledge_distillation import KnowledgeDistillation
from training.architectures.relation import Relation, relation
from training.architectures.shared_trunk import SharedTrunk
from training.architectures.soft_sharing import SoftSharing
from training.architectures.task_routing import TaskRouting


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


def close(actual: Tensor, expected: Tensor) -> None:
    assert_allclose(actual.detach().numpy(), expected.detach().numpy(), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", architectures())
def test_every_architecture_learns_every_parameter_and_overfits_a_batch(name: str) -> None:
    network, batch, truth = architectures()[name].build(SMALL), images(), labels()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
    for _ in range(40):
        losses = network.losses(batch, truth)
        assert losses.shape == (SMALL.tasks,)
        optimizer.zero_grad()
        (losses.mean() + network.penalty()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert all(parameter.grad is not None for parameter in network.parameters())
    logits = network(batch)
    assert logits.shape == (SMALL.tasks, 2, SMALL.ways)
    assert (logits.argmax(dim=2) == truth).float().mean() > 0.8


@pytest.mark.parametrize("name", architectures())
def test_a_task_in_use_depends_on_no_images_but_its_own(name: str) -> None:
    network, batch = built(architectures()[name].build), images()
    others = batch.clone()
    others[1:] = images()[1:]
    close(network(others)[0], network(batch)[0])
    assert not torch.allclose(network(others)[1], network(batch)[1])


def test_the_shared_trunk_is_one_network_with_a_head_for_each_task() -> None:
    network, batch = SharedTrunk(SMALL), images()
    expected = plain_trunk(network.trunk, 0)(batch.flatten(0, 1)).view(3, 2, -1)
    for task in range(3):
        close(network(batch)[task], expected[task] @ network.heads.weight[task] + network.heads.bias[task])


def test_one_network_per_task_is_as_many_networks_apart() -> None:
    network, batch, truth = Independent(SMALL), images(), labels()
    losses = network.losses(batch, truth)
    for task in range(3):
        logits = plain_trunk(network.trunks, task)(batch[task]) @ network.heads.weight[task] + network.heads.bias[task]
        close(losses[task], functional.cross_entropy(logits, truth[task]))


def test_soft_sharing_starts_alike_and_pulls_each_network_to_the_mean() -> None:
    network = SoftSharing(Setting(tasks=2, ways=2, side=8, width=4, blocks=2, hidden=(6,)), strength=0.3)
    assert network.penalty().item() < 1e-12
    with torch.no_grad():
        for parameter in network.trunks.parameters():
            parameter.add_(torch.randn_like(parameter))
    halves = [layer.convolution.weight.detach().numpy().reshape(2, -1) for layer in network.trunks]
    halves += [
        layer.convolution.bias.detach().numpy().reshape(2, -1) for layer in network.trunks if layer.convolution.bias is not None
    ]
    expected = 0.3 * sum(np.square(half[0] - half[1]).sum() for half in halves) / 2
    assert_allclose(network.penalty().item(), expected, rtol=1e-5)


def test_the_relation_penalty_is_the_squared_nuclear_norm_and_so_is_its_gradient() -> None:
    network = Relation(SMALL, strength=1.0).double()
    with torch.no_grad():
        for parameter in network.fully_connected.parameters():
            parameter.add_(torch.randn_like(parameter))
    network.penalty().backward()  # type: ignore[no-untyped-call]
    weights_of_layers = [layer.convolution.weight for layer in network.fully_connected]

    def squared_nuclear_norm() -> float:
        weights = np.hstack([layer.weights().detach().numpy() for layer in network.fully_connected])
        return float(np.linalg.svd(weights, compute_uv=False).sum() ** 2)

    assert_allclose(network.penalty().item(), squared_nuclear_norm(), rtol=1e-6)
    step = 1e-5
    for weight in weights_of_layers:
        slopes = []
        for sign in (1.0, -1.0):
            weight.data[0, 0, 0, 0] += sign * step
            slopes.append(sign * squared_nuclear_norm() / (2 * step))
            weight.data[0, 0, 0, 0] -= sign * step
        assert weight.grad is not None
        assert_allclose(weight.grad[0, 0, 0, 0].item(), sum(slopes), rtol=1e-4)


def test_no_other_relation_of_trace_one_has_a_smaller_penalty() -> None:
    weights = torch.randn(3, 20, dtype=torch.float64)
    products = weights @ weights.T
    best = (torch.linalg.inv(relation(weights)) * products).sum()
    assert_allclose(relation(weights).trace().item(), 1.0)
    for _ in range(50):
        root = torch.randn(3, 3, dtype=torch.float64)
        other = root @ root.T / (root @ root.T).trace()
        assert (torch.linalg.inv(other) * products).sum() > best


def test_task_routing_without_masks_is_the_shared_trunk() -> None:
    network, batch = TaskRouting(SMALL, left_out=0.0), images()
    features = plain_trunk(network.blocks, 0)(batch.flatten(0, 1)).view(-1, 1, SMALL.width, 2, 2)
    expected = network.fully_connected(features).view(3, 2, -1)
    close(network.features(batch), expected)


def test_a_task_trains_no_channel_that_its_mask_leaves_out() -> None:
    network = TaskRouting(SMALL, left_out=0.5).eval()  # In training, tasks meet in the statistics of batch normalisation.
    network.losses(images(), labels())[0].backward()  # type: ignore[no-untyped-call]
    for block, mask_TC in zip(network.blocks, network.masks_LTC, strict=True):
        kept = mask_TC[0].bool()
        assert int(kept.sum()) == SMALL.width // 2
        assert block.convolution.weight.grad is not None
        assert not block.convolution.weight.grad[~kept].any()


def test_film_is_for_each_task_a_trunk_with_another_transformation_after_normalisation() -> None:
    network, batch = built(Film), images()
    assert isinstance(network, Film)
    close(network.features(batch).flatten(0, 1), plain_trunk(network.trunk, 0)(batch.flatten(0, 1)))
    for scale, shift in zip(network.scales, network.shifts, strict=True):
        scale.data.uniform_(0.5, 1.5)
        shift.data.normal_()
    for task in range(3):
        maps: Tensor = batch[task]
        for layer, scale, shift in zip(network.trunk, network.scales, network.shifts, strict=True):
            linear = scale[task, :, None, None] * plain_layer(layer, 0)(maps) + shift[task, :, None, None]
            maps = plain_finish(layer)(linear)
        close(network.features(batch)[task], maps.flatten(1))


def test_concatenation_adds_the_code_s_column_of_weights() -> None:
    network, batch = built(Concatenation), images()
    assert isinstance(network, Concatenation)
    for task in range(3):
        maps = batch[task]
        for layer in network.trunk:
            weight, bias, padding = layer.convolution.weight, layer.convolution.bias, 0 if layer.full else 1
            of_task = maps.shape[1] + task
            code = functional.conv2d(torch.ones_like(maps[:, :1]), weight[:, of_task : of_task + 1], padding=padding)
            maps = functional.conv2d(maps, weight[:, : maps.shape[1]], bias, padding=padding) + code
            maps = plain_finish(layer)(layer.norm(maps))
        close(network.features(batch)[task], maps.flatten(1))


def test_distillation_of_no_weight_trains_the_shared_trunk_and_networks_apart() -> None:
    network, batch, truth = KnowledgeDistillation(SMALL, strength=0.0), images(), labels()
    apart = [SharedNetwork.losses(part, batch, truth) for part in (network, network.teachers)]
    close(network.losses(batch, truth), torch.stack(apart).sum(dim=0))


def test_distillation_draws_the_student_alone() -> None:
    network, batch, truth = KnowledgeDistillation(SMALL, strength=2.0), images(), labels()
    student, teacher = network.features(batch), network.teachers.features(batch)
    expected = []
    for task in range(3):
        ours, theirs = (part[task].detach().numpy() for part in (student, teacher))
        ours = ours @ network.adaptors[task].detach().numpy()
        gaps = [a / np.linalg.norm(a) - b / np.linalg.norm(b) for a, b in zip(ours, theirs, strict=True)]
        expected.append(np.mean([gap @ gap for gap in gaps]))
    assert_allclose(network.distances(student, teacher).detach().numpy(), expected, rtol=1e-4)
    network.losses(batch, truth).sum().backward()  # type: ignore[no-untyped-call]
    taught = [parameter.grad.clone() for parameter in network.teachers.parameters() if parameter.grad is not None]
    network.zero_grad()
    network.teachers.losses(batch, truth).sum().backward()  # type: ignore[no-untyped-call]
    for with_student, parameter in zip(taught, network.teachers.parameters(), strict=True):
        assert parameter.grad is not None
        close(with_student, parameter.grad)
