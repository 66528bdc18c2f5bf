"""Multinomial logistic regression for a stack of tasks at once: the default solver.

Shape legend: T tasks, n examples of a task, D features, K classes (ways), d coordinates of the solution.

A small task's fit is hundreds of operations of a microsecond each, so that what an operation costs beside its arithmetic counts:
where the array API's functions cost twice as much as the methods that NumPy and PyTorch share, these stand here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import device

from models.arrays import Bools, Floats, Ints
from models.heads.head import Array
from models.heads.solvers.method import Method

# A logistic fit is done when Newton's step is this short: scores of features of norm one move by little more, and as the step
# is still taken, the error left is far below the 1e-4 in probability that the fit promises.
STEP_TOLERANCE = 1e-5
MAX_NEWTON_STEPS = 100
MAX_CG_STEPS = 500
FORCING = 0.01  # Conjugate gradients reduce the squared error by at least this factor.
MAX_SEARCHES = 30
SLOPE_LEFT = 0.1  # Along a step, where the objective's slope is at most this share of that at its start is far enough.

EPSILON = 2.0**-52
_LEFT_OUT_AT_ONCE = 25_000  # logits that the caches hold with what is made of them
TINY = 1e-300  # Makes 0 / 0 zero, and changes nothing else.


def fit(xp: Any, x_TnD: Array, y_TnK: Array, C: float) -> tuple[Array, Array]:
    """Multinomial logistic regression: minimises C · Σ cross-entropy + ½‖W‖² with the intercept unpenalised.

    The objective of scikit-learn's `LogisticRegression(C)`. With two classes that has one vector w = W₁ − W₀ and the penalty
    ½‖w‖², which at the optimum (W₁ = −W₀) is ‖W‖²: the penalty is doubled here too.

    With n < D it is solved by the examples' inner products alone. Where that does not reach the optimum, and with n ≥ D, it is
    solved in their principal axes.

    Args:
        xp: the array API namespace of the arrays.
        x_TnD: features, float64.
        y_TnK: one-hot labels, float64; every class has an example.

    Returns:
        weight (T, K, D) and bias (T, K).
    """
    if y_TnK.shape[-1] == 2:
        C = C / 2
    if x_TnD.shape[1] < x_TnD.shape[2] and (found := _in_span(xp, x_TnD, y_TnK, C)) is not None:
        return found
    return _along_axes(xp, x_TnD, y_TnK, C)


def left_out_logits(xp: Any, x_nD: Array, y_nK: Array, C: float, left_out_Gn: Array) -> Array | None:
    """The logits (n, K) that a task's examples have, each from the fit without the group that it is left out with.

    Those fits are a stack of tasks that share one Gram matrix: each counts what it leaves out zero times, and starts from the
    fit of all, from which it is a few steps of Newton's method away. The logits of what is left out come with the others'.

    Args:
        x_nD, y_nK: as `fit` takes them, of one task.
        left_out_Gn: bool, which examples each of G groups has; an example is in one at most, and each class has one that is not
            in the group.

    Returns:
        None if a fit does not reach the optimum by the examples' inner products alone. Zeros for an example of no group.
    """
    if y_nK.shape[-1] == 2:
        C = C / 2
    n, K = y_nK.shape
    gram = _centred(xp, _centred(xp, (x_nD @ x_nD.mT)[None]).mT)
    a_1nK, b_11K, _ = _in_gram(xp, gram, y_nK[None], C)
    at_once = max(1, _LEFT_OUT_AT_ONCE // (n * K))
    logits_nK = 0.0 * y_nK
    for start in range(0, len(left_out_Gn), at_once):
        out_Tn1 = xp.astype(left_out_Gn[start : start + at_once], x_nD.dtype)[..., None]
        counts_Tn1 = 1.0 - out_Tn1
        counted = counts_Tn1 * y_nK
        newton = _Newton(xp, gram, True, counted, C, counts_Tn1)
        a_TnK, _, logits_TnK = newton.solve_from(counts_Tn1 * a_1nK, b_11K + 0.0 * counts_Tn1[:, :1])
        weight_TDK = x_nD.mT @ _centred(xp, a_TnK)
        if not _is_optimum(xp, x_nD, counted - counts_Tn1 * _softmax(xp, logits_TnK), weight_TDK, C):
            return None
        logits_nK = logits_nK + xp.sum(out_Tn1 * logits_TnK, axis=0)
    return logits_nK


def left_out_scores(x_nD: Floats, y_nK: Floats, C: float, groups: Ints, judged: Bools) -> Floats | None:
    """`left_out_logits` of every group that is judged."""
    found: Floats | None = left_out_logits(np, x_nD, y_nK, C, np.unique(groups[judged])[:, None] == groups)
    return found


def _in_span(xp: Any, x_TnD: Array, y_TnK: Array, C: float) -> tuple[Array, Array] | None:
    """Weight and bias, if they are the optimum's."""
    gram = _centred(xp, _centred(xp, x_TnD @ x_TnD.mT).mT)
    a_TnK, b_T1K, _ = _in_gram(xp, gram, y_TnK, C)
    # Of the features as they are: to take the mean from what they are multiplied by is less work than to take it from them.
    weight_TDK = x_TnD.mT @ _centred(xp, a_TnK)
    logits_TnK = x_TnD @ weight_TDK
    b_T1K = b_T1K - xp.mean(logits_TnK, axis=1, keepdims=True)
    excess = y_TnK - _softmax(xp, logits_TnK + b_T1K)
    return (weight_TDK.mT, b_T1K[:, 0]) if _is_optimum(xp, x_TnD, excess, weight_TDK, C) else None


def _in_gram(xp: Any, gram: Array, y_TnK: Array, C: float) -> tuple[Array, Array, Array]:
    """Coefficients, intercept and logits, from the inner products (T, n, n) of the centred examples."""
    y, b_T1K = _first_step(xp, y_TnK)
    ridge = gram / y.shape[-1] + xp.eye(gram.shape[-1], dtype=gram.dtype, device=device(gram)) / C
    return _Newton(xp, gram, True, y_TnK, C).solve(xp.linalg.solve(ridge, y), b_T1K)


def _is_optimum(xp: Any, x_TnD: Array, excess_TnK: Array, weight_TDK: Array, C: float) -> bool:
    """Whether every task's weight is as near the optimum's as Newton's method would bring it.

    C times the gradient's norm is at least the distance, since the Hessian is nowhere below 1 / C.
    """
    gradient = x_TnD.mT @ _centred(xp, excess_TnK) - weight_TDK / C
    # Not `>`: what is not a number is no optimum.
    return float(xp.max(xp.sum(gradient * gradient, axis=(1, 2)))) <= (STEP_TOLERANCE / C) ** 2


def _along_axes(xp: Any, x_TnD: Array, y_TnK: Array, C: float) -> tuple[Array, Array]:
    """Weight and bias."""
    n, D = x_TnD.shape[1:]
    x = _centred(xp, x_TnD)
    if n < D:
        squares_Tn, vectors = xp.linalg.eigh(x @ x.mT)
        squares_T1d = squares_Tn[:, None]
        # Centred examples span n − 1 axes, equal ones fewer: what is left is rounding error, and must not be divided by.
        real = squares_T1d > n * EPSILON * squares_T1d[..., -1:]
        roots_T1d = xp.sqrt(xp.where(real, squares_T1d, 1.0))
        z_Tnd, axes_TDd = xp.where(real, vectors * roots_T1d, 0.0), x.mT @ (vectors / roots_T1d)
    else:
        squares_TD, axes_TDd = xp.linalg.eigh(x.mT @ x)
        z_Tnd, squares_T1d = x @ axes_TDd, squares_TD[:, None]
    y, b_T1K = _first_step(xp, y_TnK)
    towards = z_Tnd.mT @ y / (squares_T1d.mT / y.shape[-1] + 1.0 / C)
    a_TdK, b_T1K, _ = _Newton(xp, z_Tnd, False, y_TnK, C).solve(towards, b_T1K)
    weight_TDK = axes_TDd @ a_TdK
    return weight_TDK.mT, (b_T1K - xp.mean(x_TnD, axis=1, keepdims=True) @ weight_TDK)[:, 0]


def _first_step(xp: Any, y_TnK: Array) -> tuple[Array, Array]:
    """What Newton's first step has in closed form: the targets of the ridge regression that makes its coefficients, and its
    intercept. At zero, where P is 1 / K everywhere, the Hessian is the same for every class.
    """
    share_T1K = xp.mean(y_TnK, axis=1, keepdims=True)
    return y_TnK - share_T1K, y_TnK.shape[-1] * share_T1K - 1.0


def _centred(xp: Any, a_Tnm: Array) -> Array:
    """Without the mean of the examples."""
    return a_Tnm - xp.mean(a_Tnm, axis=1, keepdims=True)


def _softmax(xp: Any, logits: Array) -> Array:
    exponentials = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return exponentials / xp.sum(exponentials, axis=-1, keepdims=True)


class _Newton:
    """Newton's method for a stack of logistic regressions, all tasks in step; each step by conjugate gradients (truncated
    Newton; Nocedal & Wright, Numerical Optimization, algorithm 7.1), so that no K·D-wide matrix is ever formed.

    The unknowns V (T, d + 1, K) are coefficients A over the intercept b. With examples X (T, n, D), centred, the weight is either
    Aᵀ X, in the span of the examples (d = n), or A are its coordinates along principal axes; so that the logits are Z A + b,
    with the Gram matrix Z = X Xᵀ, or with the examples' coordinates Z. In terms of the weight W and b,

        objective   Σ_i −log P[i, y_i] + ‖W‖² / 2C,   P = softmax(logits)      (that of `fit`, over C)
        gradient    Xᵀ (P − Y) + W / C,   and for b: Σ_i (P − Y)[i]
        Hessian·V   Xᵀ S + V / C,   and for b: Σ_i S[i],   S = P ∘ (U − rowsum(P ∘ U)),   U the logits of V

    In the span, Xᵀ Q is the weight with the coefficients Q: products with Xᵀ cost nothing, and the inner products of weights,
    which are all that conjugate gradients need beside, come from the images Z A. So each of their steps costs one product with
    Z, in the place of a preconditioner, and the examples need no decomposition first (cf. Chapelle, Training a Support Vector
    Machine in the Primal, 2007, section 3). But coefficients are not unique where examples depend on each other: what a residual
    then holds of no weight at all (one image under two labels leaves plenty) drowns small residuals in rounding, so that only so
    much is solved for.

    Along principal axes a step costs two products with Z, and the Hessian's diagonal is a preconditioner that no C is too large
    for: averaged over the classes, so that no step leaves the subspace Σ_k A_k = 0, in which gradient and optimum lie. At zero
    it is the whole Hessian.

    An example may count `counts` times, zero or one, the same or differently in each task. P and Y hold zeros where it counts
    none, which takes it out of the gradient and the Hessian alike. Z may be one matrix for all tasks.

    The image of unknowns V is (Z A; b) in the span, and V itself along principal axes: what makes logits of them, and, in an
    inner product with V, the squares of weight and intercept.
    """

    def __init__(self, xp: Any, z_Tnd: Array, in_span: bool, y_TnK: Array, C: float, counts_Tn1: Array | None = None) -> None:
        ones_Tn1 = xp.ones_like(z_Tnd[:, :, :1])
        one_T11 = ones_Tn1[:, :1]
        zeros_Td1 = 0.0 * z_Tnd[:, :1].mT
        self.xp = xp
        self.in_span = in_span
        self.y = y_TnK
        self.counts = counts_Tn1
        self.C = C
        self.ones = ones_Tn1.mT
        only_b = xp.concat([zeros_Td1, one_T11], axis=1)
        self.penalty = (1.0 - only_b) / C
        if in_span:
            rows = xp.concat([z_Tnd, zeros_Td1.mT], axis=1)
            self.z = xp.concat([rows, 0.0 * only_b], axis=2)
            self.of_b = only_b * only_b.mT
            self.negligible = (0.05 * STEP_TOLERANCE / C) ** 2
            # Of a residual's own square, how much its product with Z may be off in the square of the weight that it makes.
            self.rounding = EPSILON * xp.linalg.trace(z_Tnd)[:, None, None]
        else:
            self.z = xp.concat([z_Tnd, ones_Tn1], axis=2)
            self.z_squared = z_Tnd * z_Tnd
            self.negligible = (0.05 * STEP_TOLERANCE) ** 2 / C

    def solve(self, towards: Array, towards_b: Array) -> tuple[Array, Array, Array]:
        """A, b and the logits at the optimum; the first step is taken from zero towards the ones given, as far as that helps."""
        step = self.xp.concat([towards, towards_b], axis=1)
        return self._descend(0.0 * step, 0.0 * self.y, step, self._image(step))

    def solve_from(self, a: Array, b: Array) -> tuple[Array, Array, Array]:
        """The same from an A and b that are near the optimum."""
        v = self.xp.concat([a, b], axis=1)
        logits = self._logits(self._image(v))
        step, image = self._step(self._probabilities(logits), v)
        return self._descend(v, logits, step, image)

    def _descend(self, v: Array, logits: Array, step: Array, image: Array) -> tuple[Array, Array, Array]:
        """A, b and the logits at the optimum, from unknowns V with these logits, of which the first step is known."""
        probabilities = self._probabilities(logits)
        for _ in range(MAX_NEWTON_STEPS):
            negligible = _dot(image, step) <= STEP_TOLERANCE**2
            if negligible.all():
                v, logits = v + step, logits + self._logits(image)
                break
            change, penalised = self._logits(image), self.penalty * image
            of_penalty = _dot(penalised, v), _dot(penalised, step)
            share, probabilities = self._search(logits, probabilities, change, of_penalty, negligible)
            v, logits = v + share * step, logits + share * change
            step, image = self._step(probabilities, v)
        return v[:, :-1], v[:, -1:], logits

    def _step(self, probabilities: Array, v: Array) -> tuple[Array, Array]:
        """Solves Hessian · step = −gradient by preconditioned conjugate gradients, each task to its own tolerance.

        Returns:
            the step and its image.
        """
        xp = self.xp
        precondition = self._preconditioner(probabilities)
        residual = self._pulled_back(self.y - probabilities) - self.penalty * v
        image = precondition(residual)
        # Rounding, which alone can make a square negative, must not.
        rho = xp.abs(_dot(residual, image))
        # Tighter as the gradient vanishes, so that the outer iteration is superlinear without solving early steps too well.
        goal = rho / (1.0 / FORCING + 1.0 / (xp.sqrt(rho) + TINY)) + self.negligible
        if self.in_span:
            goal = goal + self.rounding * _dot(residual, residual)
        step = step_image = 0.0 * residual
        direction, direction_image = residual, image
        for _ in range(MAX_CG_STEPS):
            active = rho > goal
            if not active.any():
                break
            u = self._logits(direction_image)
            s = probabilities * (u - xp.vecdot(probabilities, u)[..., None])
            product = self._pulled_back(s) + self.penalty * (direction if self.in_span else direction_image)
            alpha = xp.where(active, rho / (_dot(direction_image, product) + TINY), 0.0)
            step, step_image = step + alpha * direction, step_image + alpha * direction_image
            residual = residual - alpha * product
            image = precondition(residual)
            previous, rho = rho, xp.abs(_dot(residual, image))
            beta = rho / (previous + TINY)
            direction, direction_image = residual + beta * direction, image + beta * direction_image
        if not self.in_span:
            return step_image, step_image
        return xp.concat([step[:, :-1], step_image[:, -1:]], axis=1), step_image

    def _preconditioner(self, probabilities: Array) -> Callable[[Array], Array]:
        """What makes of a residual (T, d + 1, K) the image of a direction."""
        xp = self.xp
        # P sums to one, so the classes' mean of P (1 − P) is (1 − Σ P²) / K; the class coupling makes K into K − 1.
        spread_Tn1 = (1.0 - xp.vecdot(probabilities, probabilities)[..., None]) / (probabilities.shape[-1] - 1)
        # b's mean curvature, which has no penalty to keep it from zero where every P is 0 or 1.
        curvature_b = self.ones @ spread_Tn1 + 1e-9
        if self.in_span:
            # Weights are preconditioned by nothing, which leaves them a curvature of 1 / C at least; b gets as much.
            scale_b = 1.0 / (self.C * curvature_b)
            if len(self.z) < len(probabilities):
                return lambda residual: self.z @ residual + (1.0 - self.C * self.penalty) * scale_b * residual
            metric = self.z + self.of_b * scale_b
            return lambda residual: metric @ residual
        curvature = xp.concat([self.z_squared.mT @ spread_Tn1 + 1.0 / self.C, curvature_b], axis=1)
        return lambda residual: residual / curvature

    def _search(
        self, logits: Array, probabilities: Array, change: Array, of_penalty: tuple[Array, Array], negligible: Array
    ) -> tuple[Array, Array]:
        """How far to go along a step: to about where the objective is least, by Newton's method in one dimension. That costs no
        product with Z, and saves steps where curvature falls as they go, as it does in separable tasks.

        Args:
            probabilities: P at the start.
            change: of the logits, (T, n, K), by the whole step.
            of_penalty: the penalty's slope at the start, and its curvature, (T, 1, 1) each.
            negligible: (T, 1, 1), steps so short that slopes along them are rounding; those are taken as they are.

        Returns:
            the share of the step (T, 1, 1), and P there.
        """
        xp = self.xp
        slope_of_penalty, curvature_of_penalty = of_penalty
        slope_left = SLOPE_LEFT * xp.abs(_dot(probabilities - self.y, change) + slope_of_penalty)
        low = xp.zeros_like(slope_of_penalty)
        share, high = low + 1.0, low + xp.inf
        for _ in range(MAX_SEARCHES):
            probabilities = self._probabilities(logits + share * change)
            slope = _dot(probabilities - self.y, change) + slope_of_penalty + share * curvature_of_penalty
            found = (xp.abs(slope) <= slope_left) | negligible
            if found.all():
                return share, probabilities
            low, high = xp.where(slope < 0, share, low), xp.where(slope < 0, high, share)
            spread = change - xp.vecdot(probabilities, change)[..., None]
            curvature = _dot(probabilities * spread, spread) + curvature_of_penalty
            guess = xp.minimum(share - slope / (curvature + TINY), 4.0 * share)
            guess = xp.where((guess > low) & (guess < high), guess, 0.5 * (low + xp.minimum(high, 4.0 * share)))
            share = xp.where(found, share, guess)
        # Rounding hides the least; at `low` the objective, being convex, is below that at the start.
        share = xp.where(found, share, low)
        return share, self._probabilities(logits + share * change)

    def _probabilities(self, logits: Array) -> Array:
        probabilities = _softmax(self.xp, logits)
        return probabilities if self.counts is None else self.counts * probabilities

    def _image(self, v: Array) -> Array:
        return (self.z + self.of_b) @ v if self.in_span else v

    def _logits(self, image: Array) -> Array:
        return image[:, :-1] + image[:, -1:] if self.in_span else self.z @ image

    def _pulled_back(self, q: Array) -> Array:
        """The unknowns whose weight is Xᵀ Q, and Σ_i Q[i] beside: what the gradient is made of."""
        return self.xp.concat([q, self.ones @ q], axis=1) if self.in_span else self.z.mT @ q


def _dot(a: Array, b: Array) -> Array:
    """Each task's inner product of two stacks of arrays, (T, 1, 1)."""
    tasks = len(a)
    return a.reshape((tasks, 1, -1)) @ b.reshape((tasks, -1, 1))


METHOD = Method(fit, left_out_scores, learns_shares=True)
