"""Logistic regression for tasks of few examples, as a fixed sequence of operations on PyTorch tensors.

On a GPU the fit of a small task costs what starting its operations costs, and every look at a number makes the host wait. So
this file decides nothing on the host. The number of Newton steps is fixed, each is solved by factorisation, and the fit
tells at the end where the optimum was reached. Such a sequence can be replayed as one CUDA graph (`models.cuda_graphs`).

The objective is that of `logistic.fit`. Its weight is C Aᵀ X, with coefficients A (n, K) and centred examples X. With the kernel
matrix G = C X Xᵀ, the logits are F = G A + b, and the optimum has A = Y − P and Σ_i A_i = 0, where P = softmax(F). So A is the
mode of a Gaussian process with the covariance G. A Newton step towards it costs a factorisation of (n, n) for each class and one
more, instead of one of (n·K, n·K): Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, algorithm 3.3. All of
these matrices are positive definite, also where examples are equal. Beside that algorithm:

- an unpenalised intercept b, found from Σ_i A_i = 0 by one (K, K) system more;
- a search along each step.

Shape legend: T tasks, n examples of a task, D features, K classes, S shares of a step.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from models.cuda_graphs import Replayed
from models.heads.solvers.newton import STEP_TOLERANCE

# Enough for features of norm one, separable or not: few for C up to 10, many for C up to 1000.
FEW_STEPS, MANY_STEPS = 6, 8
# Multiplications of one factorisation for each class of each task. Above, conjugate gradients cost less (`newton.Newton`).
_LARGEST = 2**30
# Numbers in as many matrices. Above, arithmetic costs more than starting operations does, and graphs would hold much memory.
_CAPTURED = 2**20
_WHOLE = 10  # the position of 1 among the shares of a step
_ROUNDING = 1e-12  # A search cannot tell objectives apart that are closer than this share of them.


class Attempt(NamedTuple):
    """Fits of T tasks: weight (T, K, D), bias (T, K), and whether each is the optimum's, bool (T,)."""

    weight: Tensor
    bias: Tensor
    reached: Tensor


def is_small(tasks: int, examples: int, classes: int) -> bool:
    """Returns whether a stack of so many tasks, each of so many examples and classes, is meant for `attempt_all`."""
    return tasks * classes * examples**3 <= _LARGEST


def attempt_all(x_TnD: Tensor, y_TnK: Tensor, C: float) -> Attempt:
    """Returns `attempt`, on a GPU replayed as a graph. The tensors are the caller's own."""
    tasks, n, K = y_TnK.shape
    C_T11 = torch.full((tasks, 1, 1), C, dtype=x_TnD.dtype, device=x_TnD.device)
    replayed, function = _FEW if C <= 10.0 else _MANY
    run = replayed if tasks * K * n**2 <= _CAPTURED else function
    return Attempt(*run(x_TnD, y_TnK, C_T11))


def attempt(x_TnD: Tensor, y_TnK: Tensor, C_T11: Tensor, steps: int) -> Attempt:
    """Takes Newton steps from zero.

    Args:
        x_TnD: features, float64.
        y_TnK: one-hot labels, float64.
        C_T11: C of each task, halved for two classes (`logistic.fit`).
    """
    centred = _centred(x_TnD)
    kernel_Tnn = C_T11 * (centred @ centred.mT)
    eye_nn = torch.eye(y_TnK.shape[1], dtype=x_TnD.dtype, device=x_TnD.device)
    shares_S = torch.exp2(0.5 * torch.arange(-_WHOLE, 5, dtype=x_TnD.dtype, device=x_TnD.device))  # 1/32 … 4
    a_TnK, b_T1K = torch.zeros_like(y_TnK), torch.zeros_like(y_TnK[:, :1])
    step_of_b = b_T1K
    for _ in range(steps):
        of_a = kernel_Tnn @ a_TnK
        towards_a, towards_b = _newton(kernel_Tnn, eye_nn, y_TnK, of_a + b_T1K)
        step_of_a, step_of_b = towards_a - a_TnK, towards_b - b_T1K
        share_T11 = _share(shares_S, y_TnK, of_a, b_T1K, step_of_a, step_of_b, kernel_Tnn @ step_of_a)
        a_TnK, b_T1K = a_TnK + share_T11 * step_of_a, b_T1K + share_T11 * step_of_b
    return _checked(x_TnD, y_TnK, C_T11, a_TnK, b_T1K, step_of_b)


def _newton(kernel: Tensor, eye: Tensor, y: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the A (T, n, K) and b (T, 1, K) that a whole Newton step leads to.

    With H the logits' Hessian, (n·K, n·K), and Q = (G + H⁻¹)⁻¹, these solve

        A = (I − Q G) B − Q 1 bᵀ,   B = H F + Y − P,   Σ_i A_i = 0.

    Of Q only products are needed. E_k = (G + 1/P_k)⁻¹ is its part of one class, Σ_k E_k = M what couples the classes:

        Q R = E_k R_k − E_k M⁻¹ Σ_j E_j R_j   for each class k.
    """
    p_TnK = torch.softmax(logits, -1)
    roots_TKn = p_TnK.mT.sqrt()
    inner = torch.addcmul(eye, roots_TKn[..., :, None] * roots_TKn[..., None, :], kernel[:, None])
    whitened = torch.linalg.solve_triangular(_cholesky(inner), eye * roots_TKn[..., None, :], upper=False)
    e_TKnn = whitened.mT @ whitened
    e_TnK = e_TKnn.sum(-1).mT  # E_k 1
    scaled = p_TnK * logits
    target = scaled - p_TnK * scaled.sum(-1, keepdim=True) + y - p_TnK
    pulled = (e_TKnn @ (kernel @ target).mT[..., None])[..., 0].mT
    right = torch.cat([pulled.sum(-1, keepdim=True), e_TnK], -1)
    coupled = _solve(e_TKnn.sum(1), right)
    uncoupled = target - pulled
    # Σ_i A_i = 0, solved for b. The system is singular where all of b's entries are equal, which changes nothing; b gets none.
    system = torch.diag_embed(e_TnK.sum(1)) - e_TnK.mT @ coupled[..., 1:]
    system = system + system.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    missing = uncoupled.sum(1)[..., None] + right[..., 1:].mT @ coupled[..., :1]
    b_TK1 = _solve(system, missing)
    through = coupled[..., :1] + coupled[..., 1:] @ b_TK1
    return uncoupled + (e_TKnn @ through[:, None])[..., 0].mT - e_TnK * b_TK1.mT, b_TK1.mT


def _share(shares_S: Tensor, y: Tensor, of_a: Tensor, b: Tensor, step: Tensor, step_of_b: Tensor, of_step: Tensor) -> Tensor:
    """Returns the share of the step, (T, 1, 1), with the least objective of those that are tried.

    The whole step where rounding hides which is least. Only that is exact near the optimum.
    """
    along = shares_S[:, None, None, None]
    logits_STnK = of_a + b + along * (of_step + step_of_b)
    losses_ST = (torch.logsumexp(logits_STnK, -1) - (y * logits_STnK).sum(-1)).sum(-1)
    # Half of tr Aᵀ G A, of which only what changes along the step is needed.
    slope_T, curvature_T = (of_a * step).sum((-2, -1)), (of_step * step).sum((-2, -1))
    objective_ST = losses_ST + shares_S[:, None] * (slope_T + 0.5 * shares_S[:, None] * curvature_T)
    least_T, index_T = objective_ST.min(0)
    whole_T = objective_ST[_WHOLE]
    equal_T = whole_T - least_T <= _ROUNDING * (1.0 + whole_T.abs())
    return shares_S[index_T.masked_fill(equal_T, _WHOLE)][:, None, None]


def _checked(x: Tensor, y: Tensor, C: Tensor, a: Tensor, b: Tensor, step_of_b: Tensor) -> Attempt:
    """Returns weight and bias, and whether they are as near the optimum as `logistic.fit` demands.

    C times the gradient's norm is at least the weight's distance from the optimum, where b is the best for the weight. So b
    must have stood still, too.
    """
    weight_TDK = C * (x.mT @ _centred(a))
    scores = x @ weight_TDK
    b = b - scores.mean(1, keepdim=True)
    gradient = C * (x.mT @ _centred(y - torch.softmax(scores + b, -1))) - weight_TDK
    # `<=` and not `>`, so that NaN is no optimum.
    reached = gradient.square().sum((1, 2)) <= STEP_TOLERANCE**2
    settled = step_of_b.square().sum((1, 2)) <= STEP_TOLERANCE**2
    return Attempt(weight_TDK.mT, b[:, 0], reached & settled)


def _cholesky(a: Tensor) -> Tensor:
    """Returns the lower factor. Unlike `linalg.cholesky`, it does not ask the device whether there is one; NaN tells."""
    factor: Tensor = torch.linalg.cholesky_ex(a).L
    return factor


def _solve(a: Tensor, b: Tensor) -> Tensor:
    """Solves a positive definite system."""
    factor = _cholesky(a)
    solution: Tensor = torch.linalg.solve_triangular(factor.mT, torch.linalg.solve_triangular(factor, b, upper=False), upper=True)
    return solution


def _centred(a_Tnm: Tensor) -> Tensor:
    return a_Tnm - a_Tnm.mean(1, keepdim=True)


_FEW, _MANY = (
    (Replayed(function), function) for function in (partial(attempt, steps=FEW_STEPS), partial(attempt, steps=MANY_STEPS))
)
