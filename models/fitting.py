"""Support features and labels -> the last layer, on whichever array library holds them.

Written against the Python array API standard: NumPy arrays are fitted on the CPU, PyTorch tensors where they live. Every
solver works on a stack of T tasks at once; a single task is a stack of one.

Shape legend: T tasks, n examples of a task, D features, K classes (ways), d = min(n, D) coordinates.

With n < D the solution lies in the span of the examples (representer theorem), so the problem is solved in that span and
mapped back: 25 examples cost a 25-wide problem and not a 640-wide one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from models.heads import Array, EmbeddingSpace, Float32, Head
from models.manifest import HeadOptions

# A logistic fit is done when Newton's step is this short: no score of a feature of norm one moves by more, and as the step is
# still taken, the error left is far below the 1e-4 in probability that the fit promises.
STEP_TOLERANCE = 1e-5
MAX_NEWTON_STEPS = 100
MAX_HALVINGS = 30
MAX_CG_STEPS = 200
FORCING = 0.01  # Conjugate gradients reduce the squared error by at least this factor.

EPSILON = 2.0**-52
TINY = 1e-300  # Makes 0 / 0 zero, and changes nothing else.


def fit_head(embeddings: Float32, labels: Sequence[str], space: EmbeddingSpace, options: HeadOptions) -> Head:
    """Fits one task's head on its support set.

    Args:
        embeddings: (n, D), made by the backbone of `space`.
        labels: n labels; the classes take the order of their first example.

    Raises:
        ValueError: there are fewer than two classes, or not as many labels as embeddings.
    """
    classes = tuple(dict.fromkeys(labels))
    if len(classes) < 2:
        raise ValueError("a head needs at least two classes")
    index = {label: k for k, label in enumerate(classes)}
    indices = np.array([index[label] for label in labels])
    linear = fit(space.features(embeddings, options.centre), indices, len(classes), options)
    return Head(classes, linear.weight.astype(np.float32), linear.bias.astype(np.float32), options, space.backbone)


@dataclass(frozen=True, slots=True)
class Linear:
    """The last layer: weight (…, K, D) and bias (…, K), float64; scores are `features @ weight.T + bias`."""

    weight: Array
    bias: Array


def fit(features: Array, labels: Array, ways: int, options: HeadOptions) -> Linear:
    """Fits the last layer of one task, or of a stack of tasks of equal shape.

    Args:
        features: (n, D) or (T, n, D), as `models.heads.features` makes them.
        labels: integers (n,) or (T, n) in [0, ways); every class has at least one example.
        ways: K, at least 2.
        options: the solver and its C. Centring and temperature are not the solver's business.

    Returns:
        weight (K, D) and bias (K,), or (T, K, D) and (T, K), on the same device.

    Raises:
        ValueError: the shapes disagree, a class has no example, or a label is no class.
    """
    xp = array_namespace(features)
    single = features.ndim == 2
    if single:
        features, labels = features[None], labels[None]
    if features.ndim != 3 or labels.shape != features.shape[:2]:
        raise ValueError(f"features {features.shape} and labels {labels.shape} do not belong together")
    x_TnD = xp.astype(features, xp.float64)
    classes = xp.arange(ways, dtype=labels.dtype, device=device(labels))
    y_TnK = xp.astype(labels[..., None] == classes, xp.float64)
    counts_TK = xp.sum(y_TnK, axis=1)
    if not bool(xp.all(counts_TK > 0)) or float(xp.sum(counts_TK)) != labels.shape[0] * labels.shape[1]:
        raise ValueError("every class needs at least one example, and every label must be in [0, ways)")
    match options.solver:
        case "logistic":
            linear = _logistic(xp, x_TnD, y_TnK, options.C)
        case "ridge":
            linear = _ridge(xp, x_TnD, y_TnK, options.C)
        case "prototype":
            linear = _prototype(xp, x_TnD, y_TnK)
    return Linear(linear.weight[0], linear.bias[0]) if single else linear


def _prototype(xp: Any, x_TnD: Array, y_TnK: Array) -> Linear:
    """Cosine to class means: for features of norm one, the scores of a unit-norm mean are cosines (Snell et al., 2017)."""
    means_TKD = y_TnK.mT @ x_TnD / xp.sum(y_TnK, axis=1)[..., None]
    norms_TK1 = xp.linalg.vector_norm(means_TKD, axis=-1, keepdims=True)
    weight_TKD = means_TKD / xp.where(norms_TK1 > 0, norms_TK1, xp.ones_like(norms_TK1))
    return Linear(weight_TKD, xp.zeros_like(weight_TKD[..., 0]))


def _ridge(xp: Any, x_TnD: Array, y_TnK: Array, C: float) -> Linear:
    """Ridge regression to one-hot targets, closed form: minimises C ‖X Wᵀ + b − Y‖² + ‖W‖² with b unpenalised.

    Centring X and Y removes b from the problem; then, with λ = 1/C, W = Yᵀ X (XᵀX + λI)⁻¹ = Yᵀ (XXᵀ + λI)⁻¹ X, and the
    smaller of the two systems is solved.
    """
    x_mean_T1D, y_mean_T1K = xp.mean(x_TnD, axis=1, keepdims=True), xp.mean(y_TnK, axis=1, keepdims=True)
    x, y = x_TnD - x_mean_T1D, y_TnK - y_mean_T1K
    n, D = x.shape[1:]
    if n < D:
        dual = x @ x.mT + xp.eye(n, dtype=x.dtype, device=device(x)) / C
        weight_TKD = xp.linalg.solve(dual, y).mT @ x
    else:
        primal = x.mT @ x + xp.eye(D, dtype=x.dtype, device=device(x)) / C
        weight_TKD = xp.linalg.solve(primal, x.mT @ y).mT
    bias_TK = (y_mean_T1K - x_mean_T1D @ weight_TKD.mT)[:, 0]
    return Linear(weight_TKD, bias_TK)


def _logistic(xp: Any, x_TnD: Array, y_TnK: Array, C: float) -> Linear:
    """Multinomial logistic regression: minimises C · Σ cross-entropy + ½‖W‖² with the intercept unpenalised.

    The objective of scikit-learn's `LogisticRegression(C)`. With two classes that has one vector w = W₁ − W₀ and the penalty
    ½‖w‖², which at the optimum (W₁ = −W₀) is ‖W‖²: the penalty is doubled here too.

    Solved in the principal axes of the centred examples, where the Hessian at W = 0 is diagonal.
    """
    x_mean_T1D = xp.mean(x_TnD, axis=1, keepdims=True)
    x = x_TnD - x_mean_T1D
    n, D = x.shape[1:]
    if n < D:
        squares_Tn, vectors_Tnn = xp.linalg.eigh(x @ x.mT)
        squares_T1n = squares_Tn[:, None]
        # Centred examples span n − 1 axes, equal ones fewer: what is left is rounding error, and must not be divided by.
        real = squares_T1n > n * EPSILON * squares_T1n[..., -1:]
        roots_T1n = xp.sqrt(xp.where(real, squares_T1n, 1.0))
        z_Tnd = xp.where(real, vectors_Tnn * roots_T1n, 0.0)
        back = (vectors_Tnn / roots_T1n).mT
    else:
        _, vectors_TDD = xp.linalg.eigh(x.mT @ x)
        z_Tnd = x @ vectors_TDD
        back = vectors_TDD.mT
    ways = y_TnK.shape[-1]
    theta_TpK = _Newton(xp, z_Tnd, y_TnK, C / 2 if ways == 2 else C).solve()
    weight = theta_TpK[:, :-1].mT @ back
    weight_TKD = weight @ x if n < D else weight
    bias_TK = theta_TpK[:, -1] - (weight_TKD @ x_mean_T1D.mT)[..., 0]
    return Linear(weight_TKD, bias_TK)


class _Newton:
    """Newton's method for a stack of logistic regressions, all tasks in step; each step by conjugate gradients (truncated
    Newton; Nocedal & Wright, Numerical Optimization, algorithm 7.1), so that no K·D-wide matrix is ever formed.

    The unknowns are Θ (T, p, K), p = d + 1, the last row the intercept; Z (T, n, p) are the coordinates with a column of ones.
    With P = softmax(Z Θ), and R = diag(1, …, 1, 0) / C:

        objective   Σ_i −log P[i, y_i] + ½ Σ Θ ∘ R Θ      (that of `_logistic`, over C)
        gradient    Zᵀ (P − Y) + R Θ
        Hessian·V   Zᵀ S + R V,    S = P ∘ (U − rowsum(P ∘ U)),    U = Z V

    The preconditioner is the Hessian's diagonal, averaged over the classes so that no step leaves the subspace Σ_k Θ_k = 0, in
    which gradient and optimum lie. At Θ = 0, with centred coordinates along principal axes, it is the whole Hessian.
    """

    def __init__(self, xp: Any, z_Tnd: Array, y_TnK: Array, C: float) -> None:
        self.xp = xp
        self.z = xp.concat([z_Tnd, xp.ones_like(y_TnK[..., :1])], axis=-1)
        self.z_squared = self.z * self.z
        self.y = y_TnK
        penalty_p1 = xp.full((self.z.shape[-1], 1), 1.0 / C, dtype=z_Tnd.dtype, device=device(z_Tnd))
        penalty_p1[-1] = 0.0
        self.penalty = penalty_p1
        self.negligible = (1e-2 * STEP_TOLERANCE) ** 2 / C

    def solve(self) -> Array:
        """Θ at the optimum."""
        xp = self.xp
        tasks, _, ways = self.y.shape
        theta = xp.zeros((tasks, self.z.shape[-1], ways), dtype=self.z.dtype, device=device(self.z))
        logits = xp.zeros_like(self.y)
        value, probabilities = self._objective(theta, logits)
        for _ in range(MAX_NEWTON_STEPS):
            gradient = self.z.mT @ (probabilities - self.y) + self.penalty * theta
            step = self._step(probabilities, gradient)
            if float(xp.max(self._dot(step, step))) <= STEP_TOLERANCE**2:
                return theta + step
            slope = self._dot(gradient, step)
            step_logits = self.z @ step
            # Near the optimum the decrease drowns in rounding; accept what does not visibly increase.
            bound = value + 1e-12 * (1.0 + value)
            length = 1.0
            for _ in range(MAX_HALVINGS):
                after, probabilities = self._objective(theta + length * step, logits + length * step_logits)
                accepted = after <= bound + 1e-4 * length * slope
                if bool(xp.all(accepted)):
                    break
                length = xp.where(accepted, length, 0.5 * length)
            value, theta, logits = after, theta + length * step, logits + length * step_logits
        return theta

    def _step(self, probabilities: Array, gradient: Array) -> Array:
        """Solves Hessian · step = −gradient by preconditioned conjugate gradients, each task to its own tolerance."""
        xp = self.xp
        ways = probabilities.shape[-1]
        # P sums to one, so the classes' mean of P (1 − P) is (1 − Σ P²) / K; the class coupling makes K into K − 1.
        spread_Tn1 = (1.0 - xp.vecdot(probabilities, probabilities)[..., None]) / (ways - 1)
        # The intercept has no penalty to keep its curvature from zero where every P is 0 or 1.
        inverse_Tp1 = 1.0 / (self.z_squared.mT @ spread_Tn1 + self.penalty + 1e-9)
        step = xp.zeros_like(gradient)
        residual = -gradient
        preconditioned = inverse_Tp1 * residual
        direction = preconditioned
        rho = self._dot(residual, preconditioned)
        # Tighter as the gradient vanishes, so that the outer iteration is superlinear without solving early steps too well.
        goal = rho / (1.0 / FORCING + 1.0 / (xp.sqrt(rho) + TINY)) + self.negligible
        for _ in range(MAX_CG_STEPS):
            active = rho > goal
            if not bool(xp.any(active)):
                break
            curved = self._hessian_product(probabilities, direction)
            alpha = xp.where(active, rho / (self._dot(direction, curved) + TINY), 0.0)
            step = step + alpha * direction
            residual = residual - alpha * curved
            preconditioned = inverse_Tp1 * residual
            previous, rho = rho, self._dot(residual, preconditioned)
            direction = preconditioned + rho / (previous + TINY) * direction
        return step

    def _hessian_product(self, probabilities: Array, v: Array) -> Array:
        u = self.z @ v
        s = probabilities * (u - self.xp.vecdot(probabilities, u)[..., None])
        return self.z.mT @ s + self.penalty * v

    def _objective(self, theta: Array, logits: Array) -> tuple[Array, Array]:
        """The objective (T, 1, 1) and P."""
        xp = self.xp
        shifted = logits - xp.max(logits, axis=-1, keepdims=True)
        exponentials = xp.exp(shifted)
        totals = xp.sum(exponentials, axis=-1, keepdims=True)
        cross_entropy = xp.sum(xp.log(totals), axis=1, keepdims=True) - self._dot(self.y, shifted)
        return cross_entropy + 0.5 * self._dot(theta, self.penalty * theta), exponentials / totals

    def _dot(self, a: Array, b: Array) -> Array:
        """Each task's inner product of two stacks of matrices, (T, 1, 1)."""
        xp, flat = self.xp, (len(a), -1)
        return xp.vecdot(xp.reshape(a, flat), xp.reshape(b, flat))[:, None, None]
