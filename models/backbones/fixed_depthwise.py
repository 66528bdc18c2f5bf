"""Depthwise convolution with a frozen kernel, with a gradient that a CPU computes quickly.

In bfloat16 on a CPU, PyTorch takes many times as long for the gradients of a depthwise convolution as for the convolution
itself. The gradient with respect to the input is again a convolution: of the incoming gradient, spread out by the stride, with
the mirrored kernel. The gradient with respect to the kernel is not needed here.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional


def fixed_depthwise(x_NCHW: Tensor, kernel_C1kk: Tensor, stride: int, padding: int) -> Tensor:
    """Returns the result of `conv2d` with as many groups as channels. No gradient reaches the kernel."""
    if torch.is_autocast_enabled(x_NCHW.device.type):  # autocast does not convert the inputs of custom functions
        dtype = torch.get_autocast_dtype(x_NCHW.device.type)
        x_NCHW, kernel_C1kk = x_NCHW.to(dtype), kernel_C1kk.to(dtype)
    result: Tensor = _FixedDepthwise.apply(x_NCHW, kernel_C1kk, stride, padding)
    return result


class _FixedDepthwise(Function):
    @staticmethod
    def forward(ctx: Any, x_NCHW: Tensor, kernel_C1kk: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(kernel_C1kk)
        ctx.stride, ctx.padding, ctx.sides = stride, padding, x_NCHW.shape[-2:]
        return functional.conv2d(x_NCHW, kernel_C1kk, None, stride, padding, 1, len(kernel_C1kk))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (kernel_C1kk,) = ctx.saved_tensors
        (gradient_NCHW,) = gradients
        stride, side = ctx.stride, kernel_C1kk.shape[-1]
        before = side - 1 - ctx.padding
        if stride > 1:
            count, channels, rows, columns = gradient_NCHW.shape
            height, width = (size + side - 1 for size in ctx.sides)
            spread = gradient_NCHW.new_zeros((count, height, width, channels)).permute(0, 3, 1, 2)  # channels last
            spread[:, :, before : before + stride * rows : stride, before : before + stride * columns : stride] = gradient_NCHW
            gradient_NCHW, before = spread, 0
        return functional.conv2d(gradient_NCHW, kernel_C1kk.flip(2, 3), None, 1, before, 1, len(kernel_C1kk)), None, None, None
