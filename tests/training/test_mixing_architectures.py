"""Architectures that mix several trunks, or mask one: MMoE, cross-stitch, sluice and MTAN, against loops over tasks."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor
from torch.nn import functional

from tests.helpers.architectures import SMALL, built, images, plain_finish, plain_layer, plain_trunk
from training.architectures.cross_stitch import CrossStitch
from training.architectures.independent import Independent
from training.architectures.mmoe import Mmoe
from training.architectures.mtan import Attention, Mtan
from training.architectures.shared_trunk import SharedTrunk
from training.architectures.sluice import Sluice


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


def close(actual: Tensor, expected: Tensor) -> None:
    assert_allclose(actual.detach().numpy(), expected.detach().numpy(), rtol=2e-4, atol=1e-5)


def test_mmoe_with_one_expert_is_the_shared_trunk() -> None:
    network, shared, batch = Mmoe(SMALL, experts=1), SharedTrunk(SMALL), images()
    network.gates.data.normal_()
    shared.load_state_dict(
        {name.replace("trunks.", "trunk."): value for name, value in network.state_dict().items() if name != "gates"}
    )
    close(network(batch), shared(batch))


def test_mmoe_mixes_experts_by_the_gate_of_the_image_s_task() -> None:
    network, batch = Mmoe(SMALL, experts=2), images()
    network.gates.data.normal_()
    experts = [plain_trunk(network.trunks, expert)(batch.flatten(0, 1)).view(3, 2, -1) for expert in range(2)]
    for task in range(3):
        small = batch[task].view(2, 3, 4, 2, 4, 2).mean(dim=(3, 5)).flatten(1)
        gate = np.exp((small @ network.gates[task]).detach().numpy())
        gate /= gate.sum(axis=1, keepdims=True)
        assert_allclose(network.gate(batch)[task].detach().numpy(), gate, rtol=1e-4)
        expected = sum(torch.from_numpy(gate[:, [expert]]) * experts[expert][task] for expert in range(2))
        assert isinstance(expected, Tensor)
        close(network.features(batch)[task], expected)


def test_cross_stitch_with_identity_is_one_network_per_task() -> None:
    network, batch = built(CrossStitch), images()
    assert isinstance(network, CrossStitch)
    for unit in network.units:
        unit.data = torch.eye(3)
    apart = Independent(SMALL).eval()
    apart.load_state_dict({name: value for name, value in network.state_dict().items() if not name.startswith("units.")})
    close(network(batch), apart(batch))


def test_cross_stitch_mixes_every_trunk_s_maps_after_each_layer() -> None:
    network, batch = built(CrossStitch), images()
    assert isinstance(network, CrossStitch)
    for task in range(3):
        maps = [batch[task]] * 3
        for layer, unit in zip(network.trunks, network.units, strict=True):
            unit.data.add_(torch.rand(3, 3) if task == 0 else 0.0)
            outputs = [plain_finish(layer)(plain_layer(layer, trunk)(maps[trunk])) for trunk in range(3)]
            maps = [sum((unit[t, s] * outputs[s] for s in range(3)), torch.zeros(())) for t in range(3)]
        close(network.features(batch)[task], maps[task].flatten(1))


def test_sluice_without_mixing_is_one_network_per_task() -> None:
    network, batch = built(Sluice), images()
    assert isinstance(network, Sluice)
    for alpha in network.alphas:
        alpha.data = torch.eye(6)
    network.beta.data = torch.tensor([[0.0, 1.0]]).repeat(3, 1)
    for task in range(3):
        maps = plain_trunk(network.blocks, task)(batch[task]).view(2, SMALL.width, 2, 2)
        close(network.features(batch)[task], plain_trunk(network.fully_connected, task)(maps))


def test_sluice_mixes_subspaces_and_blocks() -> None:
    network, batch = built(Sluice), images()
    assert isinstance(network, Sluice)
    half = SMALL.width // 2
    for alpha in network.alphas:
        alpha.data.add_(0.3 * torch.rand(6, 6))
    network.beta.data = torch.rand(3, 2)
    for task in range(3):
        maps, outputs = [batch[task]] * 3, []
        for block, alpha in zip(network.blocks, network.alphas, strict=True):
            made = [plain_finish(block)(plain_layer(block, trunk)(maps[trunk])) for trunk in range(3)]
            spaces = [part for output in made for part in (output[:, :half], output[:, half:])]
            mixed = [sum((alpha[to, of] * spaces[of] for of in range(6)), torch.zeros(())) for to in range(6)]
            maps = [torch.cat((mixed[2 * trunk], mixed[2 * trunk + 1]), dim=1) for trunk in range(3)]
            outputs.append(maps[task])
        merged = network.beta[task, 0] * functional.max_pool2d(outputs[0], 2) + network.beta[task, 1] * outputs[1]
        close(network.features(batch)[task], plain_trunk(network.fully_connected, task)(merged))


def test_sluice_s_penalty_is_zero_for_orthogonal_subspaces_alone() -> None:
    network = Sluice(SMALL, strength=0.5)
    expected = 0.0
    for block in network.blocks:
        filters = block.convolution.weight.detach().numpy().reshape(3, 2, SMALL.width // 2, -1)
        for task in filters:
            expected += sum(float(a @ b) ** 2 for a in task[0] for b in task[1])
    assert_allclose(network.penalty().item(), 0.5 * expected, rtol=1e-4)
    for block in network.blocks:
        block.convolution.weight.data.view(3, 2, SMALL.width // 2, -1)[:, 1] = 0.0
    assert network.penalty().item() == 0.0


def test_mtan_masks_the_shared_maps_for_each_task() -> None:
    network, batch = built(Mtan), images()
    assert isinstance(network, Mtan)
    for task in range(3):
        shared, kept = batch[task], None
        for block, attention in zip(network.blocks, network.attention, strict=True):
            assert isinstance(attention, Attention)
            maps = plain_layer(block, 0)(shared).relu()
            hidden = plain_layer(attention.g, task)(maps if kept is None else torch.cat((maps, kept), dim=1)).relu()
            mask = 1.0 / (1.0 + (-plain_layer(attention.h, task)(hidden)).exp())
            kept = plain_finish(attention.f)(plain_layer(attention.f, 0)(mask * maps))
            shared = functional.max_pool2d(maps, 2)
        assert kept is not None
        close(network.features(batch)[task], plain_trunk(network.fully_connected, 0)(kept))
