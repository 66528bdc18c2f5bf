"""A bundle's weights as a network that can be trained further.

An export folds each batch normalisation into the convolution before it. γ(Wx - μ)/σ + β becomes W'x + b with W' = γW/σ and
b = β - γμ/σ (Ioffe & Szegedy, ICML 2015, algorithm 2). W, γ, μ, σ and β cannot be told from W' and b, and need not be. With the
mean m and the deviation s of W'x over base images, the scale s and the shift m + b compute the same as before.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import cast

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from models.backbones import Backbone, PixelBackbone, Projected, build_backbone
from models.bundle import ONNX, Bundle
from models.manifest import Imported
from training.run.checkpoint import CheckpointError


def read_network(bundle: Bundle) -> Backbone:
    """Returns the network of a bundle that `headstart-train export` made, in evaluation mode, without a projection of its end.

    Each filter has length one, since the shorter it is, the more a step of training turns it (van Laarhoven, arXiv:1706.05350,
    section 3). The batch normalisation behind it gives the length back and adds b. It has mean 0 and variance 1 until
    `renormalise` measures them.

    Raises:
        CheckpointError: the bundle was imported, or its file is not of the network that its manifest describes.
    """
    manifest = bundle.manifest
    if isinstance(manifest.training, Imported):
        raise CheckpointError(f"{bundle.id} was imported, and training knows no such network; --init {manifest.training.source}")
    backbone = build_backbone(manifest.architecture, manifest.input.height).eval()
    served = backbone
    if backbone.embedding_dim != manifest.embedding_dim:  # the export added a projection, and the next one fits its own
        served = Backbone(
            Projected(backbone.network, torch.zeros(backbone.embedding_dim, manifest.embedding_dim)),
            manifest.architecture.mean,
            manifest.architecture.std,
        )
    try:
        exported = PixelBackbone(served)  # the file names its kernels after it
        _load(exported, onnx.load_model_from_string(bundle.read(ONNX)))
        with torch.no_grad():
            bundle.check_golden(ONNX, exported(torch.from_numpy(bundle.golden_pixels)).numpy())
    except Exception as error:  # A file that is no such network raises many types.
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{bundle.id}: {ONNX} is not a {manifest.architecture.name} of this release: {reason}") from error
    return backbone


def _load(network: PixelBackbone, model: onnx.ModelProto) -> None:
    """Gives the network the model's kernels and biases. The export kept the names of kernels.

    Raises:
        KeyError: the model lacks one.
        RuntimeError: one has another shape.
    """
    tensors = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in model.graph.initializer}
    biases = {node.input[1]: node.input[2] for node in model.graph.node if node.op_type == "Conv" and len(node.input) > 2}
    state = network.state_dict()
    leaves = [(name, module) for name, module in network.named_modules() if not any(module.children())]
    for (convolution, first), (norm, second) in pairwise(leaves):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            kernel = f"{convolution}.weight"
            lengths = tensors[kernel].flatten(1).norm(dim=1)
            state[kernel] = tensors[kernel] / lengths.clamp(min=1e-12)[:, None, None, None]
            state[f"{norm}.weight"], state[f"{norm}.bias"] = lengths, tensors[biases[kernel]]
            state[f"{norm}.running_var"] = torch.full_like(lengths, 1.0 - second.eps)
    for name, module in leaves:
        if isinstance(module, nn.Linear):
            state[f"{name}.weight"] = tensors[f"{name}.weight"]
    network.load_state_dict(state)


@torch.no_grad()
def renormalise(backbone: Backbone, batches: Iterable[Tensor]) -> None:
    """Gives each batch normalisation the mean and variance of what reaches it, and the scale and shift that undo them.

    In evaluation mode the network computes the same as before. In training mode it computes nearly the same.

    Args:
        backbone: is left in evaluation mode.
        batches: images (N, 3, H, W) in [0, 1], as training shows them.
    """
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    moments: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in norms}

    def record(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0].double(), dim=(0, 2, 3), correction=0)
        moments[norm].append((mean, variance + mean.square()))

    hooks = [norm.register_forward_pre_hook(record) for norm in norms]
    backbone.eval()
    for images in batches:
        backbone(images)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        means, squares = (torch.stack(parts).mean(dim=0) for parts in zip(*moments[norm], strict=True))
        _replace_statistics(norm, means, squares - means.square())


def _replace_statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    running_mean, running_var = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
    slope = norm.weight.double() / (running_var.double() + norm.eps).sqrt()
    norm.bias.add_(slope * (mean - running_mean))
    norm.weight.copy_(slope * (variance + norm.eps).sqrt())
    running_mean.copy_(mean)
    running_var.copy_(variance)
