"""MetaOptNet-SVM: a multi-class support vector machine as the differentiable classifier (Lee, Maji, Ravichandran & Soatto,
CVPR 2019, arXiv:1904.03758).

Crammer & Singer's machine (JMLR 2001) minimises ½ Σ_k ‖w_k‖² + C Σ_i max_k (1 − [k = y_i] + (w_k − w_{y_i})ᵀ x_i). With the
one-hot labels Y (n, K), the Gram matrix G = XXᵀ and α = Cβ, so that w_k = C Σ_i β_ik x_i, its dual is

    minimise  ½ Σ_k β_kᵀ (C G) β_k − ⟨Y, β⟩    over β (n, K)    subject to  β ≤ Y  and  Σ_k β_ik = 0.

It is solved for all episodes at once by a primal-dual interior-point method. First-order methods would need hundreds of steps on
Gram matrices as ill-conditioned as those of a ReLU network. This method needs about ten, and its last linear system is the one
that the implicit derivative needs. Per class that system is n wide, and a Schur complement n wide couples the classes. The
generic solver of the paper (OptNet, arXiv:1703.00443) factors a system that is n·K wide.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from training.objectives.episodic import EpisodicObjective, one_hot_labels
from training.objectives.methods import Episodes, MetaMethod, Published

_STEPS = 15
_BARRIER = 1e-9  # The final size of complementary products: small beside β's scale of one, large beside float64's rounding.
_TO_THE_WALL = 0.99


class SvmHead(EpisodicObjective):
    """Learns the scale of the logits, as its logarithm. Shapes: see `training.objectives.episodic`.

    Args:
        C: weight of the hinge losses; 0.1 is the authors' (`MetaOptNetHead_SVM_CS` of kjunelee/MetaOptNet on GitHub).
        scale: of the logits at the start.
    """

    def __init__(self, C: float = 0.1, scale: float = 1.0) -> None:
        super().__init__()
        self.C = C
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def scores(self, support_TKSD: Tensor, query_TqD: Tensor) -> Tensor:
        """Returns scale · X' W, with W the machine's K vectors."""
        x_TnD = support_TKSD.flatten(1, 2)
        alpha_TnK = svm_dual(x_TnD, one_hot_labels(support_TKSD), self.C)
        return self.log_scale.exp() * (query_TqD @ x_TnD.transpose(1, 2) @ alpha_TnK)


def svm_dual(x_TnD: Tensor, y_nK: Tensor, C: float) -> Tensor:
    """Returns the dual variables α (T, n, K) of T machines on the same labels, differentiable in x; w_k = Σ_i α_ik x_i."""
    wide_TnD = x_TnD.double()
    beta_TnK: Tensor = _Dual.apply(C * wide_TnD @ wide_TnD.transpose(1, 2), y_nK.double())
    return C * beta_TnK.to(x_TnD.dtype)


class _Dual(torch.autograd.Function):
    """β as a function of C·G, by the implicit function theorem.

    On the central path, with slacks s = Y − β and multipliers λ = barrier / s, stationarity reads C·Gβ − Y + λ + ν1ᵀ = 0.
    Its differential is (C·G + diag(λ_k / s_k)) dβ_k + dν = −d(C·G) β_k, with Σ_k dβ_k = 0. That is Newton's own system, whose
    solution operator N is symmetric. So a loss of gradient g in β has the gradient −N(g) βᵀ in C·G.
    """

    @staticmethod
    def forward(ctx: Any, gram_Tnn: Tensor, y_nK: Tensor) -> Tensor:
        beta_TnK, inverses_TKnn, schur_Tnn = _interior_point(gram_Tnn, y_nK)
        ctx.save_for_backward(beta_TnK, inverses_TKnn, schur_Tnn)
        return beta_TnK

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_TnK: Tensor) -> tuple[Tensor, None]:
        beta_TnK, inverses_TKnn, schur_Tnn = ctx.saved_tensors
        step_TnK, _ = _newton_system(inverses_TKnn, schur_Tnn)(gradient_TnK)
        return -step_TnK @ beta_TnK.transpose(1, 2), None


def _interior_point(gram_Tnn: Tensor, y_nK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Runs Mehrotra's predictor-corrector (Nocedal & Wright, Numerical Optimization, algorithm 16.4).

    The number of steps is fixed, so that the CPU never waits for a GPU.

    β starts at Y − 1/K, strictly inside, and Σ_k β_ik = 0
    holds from there on; the slacks are Y − β throughout.

    Returns:
        β, and the factors of the system at the solution, as `_newton_system` takes them.
    """
    tasks, ways = len(gram_Tnn), y_nK.shape[1]
    beta = (y_nK - 1.0 / ways).expand(tasks, -1, -1)
    dual = torch.ones_like(beta)
    shift = torch.zeros_like(beta[..., :1])
    for _ in range(_STEPS):
        slack = y_nK - beta
        factors = _factor(gram_Tnn, dual / slack)
        newton = _newton_system(*factors)
        residual = y_nK - gram_Tnn @ beta - shift  # Less the dual, which cancels against the linearised complementarity.
        barrier = _mean(slack * dual)

        predicted, _ = newton(residual)
        predicted_dual = dual * (predicted / slack - 1.0)
        length = _length(slack, -predicted, dual, predicted_dual)
        after = _mean((slack - length * predicted) * (dual + length * predicted_dual))
        target = ((after / barrier) ** 3 * barrier).clamp(min=_BARRIER) + predicted * predicted_dual

        step, shift_step = newton(residual - target / slack)
        dual_step = (target + dual * step) / slack - dual
        length = _length(slack, -step, dual, dual_step)
        beta, dual, shift = beta + length * step, dual + length * dual_step, shift + length * shift_step
    return beta, *_factor(gram_Tnn, dual / (y_nK - beta))


def _factor(gram_Tnn: Tensor, stiffness_TnK: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the inverses (T, K, n, n) of G + diag(stiffness_k), and the Cholesky factor (T, n, n) of their sum over the
    classes.
    """
    systems = gram_Tnn[:, None] + torch.diag_embed(stiffness_TnK.transpose(1, 2))
    inverses = torch.cholesky_inverse(torch.linalg.cholesky_ex(systems).L)
    return inverses, torch.linalg.cholesky_ex(inverses.sum(dim=1)).L


def _newton_system(inverses_TKnn: Tensor, schur_Tnn: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Returns the map from R to (dβ, dν) with (G + diag_k) dβ_k + dν = R_k for every class k, and Σ_k dβ_k = 0."""

    def solve(right_TnK: Tensor) -> tuple[Tensor, Tensor]:
        free_TKn = (inverses_TKnn @ right_TnK.transpose(1, 2)[..., None])[..., 0]
        shift_Tn1 = torch.cholesky_solve(free_TKn.sum(dim=1)[..., None], schur_Tnn)
        held_TKn = (inverses_TKnn @ shift_Tn1[:, None])[..., 0]
        return (free_TKn - held_TKn).transpose(1, 2), shift_Tn1

    return solve


def _length(slack: Tensor, slack_step: Tensor, dual: Tensor, dual_step: Tensor) -> Tensor:
    """Returns the longest step (T, 1, 1), at most one, that keeps each task's slacks and duals positive, and a little less."""
    shrink = torch.maximum(-slack_step / slack, -dual_step / dual).amax(dim=(1, 2), keepdim=True)
    return (_TO_THE_WALL / shrink.clamp(min=1e-30)).clamp(max=1.0)


def _mean(x_TnK: Tensor) -> Tensor:
    return x_TnK.mean(dim=(1, 2), keepdim=True)


METHOD = MetaMethod(
    name="MetaOptNet",
    family="optimisation",
    objective=lambda _dim, _ways: SvmHead(),
    episodes=Episodes(tasks=4, shots=(5,), queries=6),  # as its authors' code for CIFAR-FS; 4 a step instead of 8, for more steps
    published=Published("with ResNet-12 only (Lee et al., CVPR 2019, table 2)"),
)
