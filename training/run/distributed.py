"""One device or several behind one interface. Several compute the same as one."""

from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.devices import DeviceError, has_bfloat16
from training.run.balance import find_balancing
from training.run.learner import Learner
from training.run.recipes import Recipe


def make_fabric(device: torch.device, devices: int, recipe: Recipe) -> Fabric:
    """Returns Lightning Fabric for that device, or for `devices` of its kind with distributed data parallelism. It is not
    launched yet.

    Raises:
        DeviceError: there are fewer devices, `device` names one of several, or the recipe's balancing needs all gradients on
            one.
    """
    if devices > 1 and device.index is not None:
        raise DeviceError(f"{device} is one device; of {devices}, name the kind only: {device.type}")
    if devices > 1 and not find_balancing(recipe.balancing).several_devices:
        raise DeviceError(f"{recipe.balancing} balances gradients on one device only")
    if device.type == "cuda" and devices > torch.cuda.device_count():
        raise DeviceError(f"{devices} GPUs were asked for; there are {torch.cuda.device_count()}")
    half = recipe.precision == "bfloat16" or (recipe.precision == "auto" and has_bfloat16(device))
    return Fabric(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" and devices == 1 else devices,
        # An objective may sit out a step: rotation, in every second batch.
        strategy=DDPStrategy(find_unused_parameters=True) if devices > 1 else "auto",
        precision="bf16-mixed" if half else "32-true",
    )


def disband(fabric: Fabric) -> None:
    """Ends the processes' shared state in all of them at once. One that exits while another still listens to it can make that
    one abort.
    """
    if fabric.world_size > 1:
        fabric.barrier()
        distributed.destroy_process_group()


def synchronise_batch_norm(learner: Learner, device: torch.device) -> Learner:
    """Returns the learner with every batch normalisation synchronised; the names of its parameters stay.

    Raises:
        DeviceError: one does more than normalise, or not by images (N, C, H, W); conversion would lose that.
    """
    for module in learner.modules():
        if isinstance(module, _BatchNorm) and type(module) is not nn.BatchNorm2d:
            raise DeviceError(f"a network with {type(module).__name__} can be trained on one device only")
    if device.type == "cuda":
        convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
        return cast("Learner", convert(learner))
    for module in learner.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _SyncedBatchNorm2d
    return learner


class _SyncedBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.SyncBatchNorm` for the CPU, which PyTorch has for GPUs only. Every process has equally many images."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x_NCHW)
        x = x_NCHW.float()
        local = torch.stack([x.mean(dim=(0, 2, 3)), x.square().mean(dim=(0, 2, 3))])
        world = distributed.get_world_size()
        mean, square = cast("Tensor", _Sum.apply(local)) / world
        variance = (square - mean.square()).clamp(min=0.0)
        with torch.no_grad():
            count = x.numel() / x.shape[1] * world
            momentum = cast("float", self.momentum)
            cast("Tensor", self.running_mean).lerp_(mean, momentum)
            cast("Tensor", self.running_var).lerp_(variance * count / (count - 1), momentum)
            cast("Tensor", self.num_batches_tracked).add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul((self.bias - mean * scale)[:, None, None], x, scale[:, None, None]).to(x_NCHW.dtype)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes, with its gradient."""

    @staticmethod
    def forward(_context: Any, local: Tensor) -> Tensor:
        total = local.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total
