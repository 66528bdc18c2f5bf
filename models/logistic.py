"""Multinomial logistic regression for a stack of tasks at once: the default solver of `models.fitting`.

Shape legend: T tasks, n examples of a task, D features, K classes (ways), d coordinates of the solution.
"""

from typing import Any

from array_api_compat import device

from models.heads import Array

# A logistic fit is done when Newton's step is this short: scores of features of norm one move by little more, and as the step
# is still taken, the error left is far below the 1e-4 in probability that the fit promises.
STEP_TOLERANCE = 1e-5
MAX_NEWTON_STEPS = 100
MAX_CG_STEPS = 500
FORCING = 0.01  # Conjugate gradients reduce the squared error by at least this factor.
MAX_SEARCHES = 30
SLOPE_LEFT = 0.1  # Along a step, where the objective's slope is at most this share of that at its start is far enough.

EPSILON = 2.0**-52
TINY = 1e-300  # Makes 0 / 0 zero, and changes nothing else.


def logistic(xp: Any, x_TnD: Array, y_TnK: Array, C: float) -> tuple[Array, Array]:
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
    mean_T1D = xp.mean(x_TnD, axis=1, keepdims=True)
    x = x_TnD - mean_T1D
    n, D = x.shape[1:]
    ways = y_TnK.shape[-1]
    if ways == 2:
        C = C / 2
    # Newton's first step in closed form: at zero, where P is 1 / K everywhere, the Hessian is the same for every class.
    y_mean_T1K = xp.mean(y_TnK, axis=1, keepdims=True)
    y, b_T1K = y_TnK - y_mean_T1K, ways * y_mean_T1K - 1.0
    if n < D:
        gram = x @ x.mT
        towards = xp.linalg.solve(gram / ways + xp.eye(n, dtype=x.dtype, device=device(x)) / C, y)
        a_TnK, intercept_T1K = _Newton(xp, gram, True, y_TnK, C).solve(towards, b_T1K)
        weight_TDK = x.mT @ a_TnK
        if _is_optimum(xp, x, y_TnK, C, weight_TDK, intercept_T1K):
            return _uncentred(weight_TDK, intercept_T1K, mean_T1D)
        squares_Tn, vectors = xp.linalg.eigh(gram)
        squares_T1d = squares_Tn[:, None]
        # Centred examples span n − 1 axes, equal ones fewer: what is left is rounding error, and must not be divided by.
        real = squares_T1d > n * EPSILON * squares_T1d[..., -1:]
        roots_T1d = xp.sqrt(xp.where(real, squares_T1d, 1.0))
        z_Tnd, axes_TDd = xp.where(real, vectors * roots_T1d, 0.0), x.mT @ (vectors / roots_T1d)
    else:
        squares_TD, axes_TDd = xp.linalg.eigh(x.mT @ x)
        z_Tnd, squares_T1d = x @ axes_TDd, squares_TD[:, None]
    towards = z_Tnd.mT @ y / (squares_T1d.mT / ways + 1.0 / C)
    a_TdK, b_T1K = _Newton(xp, z_Tnd, False, y_TnK, C).solve(towards, b_T1K)
    return _uncentred(axes_TDd @ a_TdK, b_T1K, mean_T1D)


def _is_optimum(xp: Any, x_TnD: Array, y_TnK: Array, C: float, weight_TDK: Array, b_T1K: Array) -> bool:
    """Whether every task's weight is as near the optimum's as Newton's method would bring it: C times the gradient's norm is at
    least the distance, since the Hessian is nowhere below 1 / C.
    """
    gradient = x_TnD.mT @ (y_TnK - _softmax(xp, x_TnD @ weight_TDK + b_T1K)) - weight_TDK / C
    return float(xp.max(xp.sum(gradient * gradient, axis=(1, 2)))) <= (STEP_TOLERANCE / C) ** 2


def _uncentred(weight_TDK: Array, b_T1K: Array, mean_T1D: Array) -> tuple[Array, Array]:
    """The last layer for features from which no mean was taken."""
    return weight_TDK.mT, (b_T1K - mean_T1D @ weight_TDK)[:, 0]


def _softmax(xp: Any, logits: Array) -> Array:
    exponentials = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return exponentials / xp.sum(exponentials, axis=-1, keepdims=True)


class _Newton:
    """Newton's method for a stack of logistic regressions, all tasks in step; each step by conjugate gradients (truncated
    Newton; Nocedal & Wright, Numerical Optimization, algorithm 7.1), so that no K·D-wide matrix is ever formed.

    The unknowns are coefficients A (T, d, K) and the intercept b (T, 1, K). With examples X (T, n, D), centred, the weight is
    either Aᵀ X, in the span of the examples (d = n), or A are its coordinates along principal axes; so that the logits are
    Z A + b, with the Gram matrix Z = X Xᵀ, or with the examples' coordinates Z. In terms of the weight W and b,

        objective   Σ_i −log P[i, y_i] + ‖W‖² / 2C,   P = softmax(logits)      (that of `logistic`, over C)
        gradient    Xᵀ (P − Y) + W / C,   and for b: Σ_i (P − Y)[i]
        Hessian·V   Xᵀ S + V / C,   and for b: Σ_i S[i],   S = P ∘ (U − rowsum(P ∘ U)),   U the logits of V

    In the span, Xᵀ Q is the weight with the coefficients Q: products with Xᵀ cost nothing, and the inner products of weights,
    which are all that conjugate gradients need beside, come from the images Z A. So each of their steps costs one product with
    Z, and the examples need no decomposition first (cf. Chapelle, Training a Support Vector Machine in the Primal, 2007, section
    3). But coefficients are not unique where examples depend on each other: what a residual then holds of no weight at all (one
    image under two labels leaves plenty) drowns small residuals in rounding, so that only so much is solved for.

    Along principal axes a step costs two products with Z, and the Hessian's diagonal is a preconditioner that no C is too large
    for: averaged over the classes, so that no step leaves the subspace Σ_k A_k = 0, in which gradient and optimum lie. At zero
    it is the whole Hessian.
    """

    def __init__(self, xp: Any, z_Tnd: Array, in_span: bool, y_TnK: Array, C: float) -> None:
        self.xp = xp
        self.z = z_Tnd
        self.in_span = in_span
        self.y = y_TnK
        self.C = C
        self.ones = xp.ones_like(y_TnK[:1, :, :1]).mT
        if in_span:
            self.negligible = (1e-2 * STEP_TOLERANCE / C) ** 2
            # Of a residual's own square, how much its product with Z may be off in the square of the weight that it makes.
            self.rounding = EPSILON * xp.linalg.trace(z_Tnd)[:, None, None]
        else:
            self.negligible = (1e-2 * STEP_TOLERANCE) ** 2 / C
            self.z_squared = z_Tnd * z_Tnd

    def solve(self, towards: Array, towards_b: Array) -> tuple[Array, Array]:
        """A and b at the optimum; the first step is taken from zero towards the ones given, as far as that helps."""
        xp = self.xp
        a, b, logits = xp.zeros_like(towards), xp.zeros_like(towards_b), xp.zeros_like(self.y)
        probabilities = _softmax(xp, logits)
        step, step_b, image = towards, towards_b, self.z @ towards
        for _ in range(MAX_NEWTON_STEPS):
            squared = self._inner(step, image, step)
            negligible = squared + xp.vecdot(step_b, step_b)[..., None] <= STEP_TOLERANCE**2
            if bool(xp.all(negligible)):
                return a + step, b + step_b
            change, of_penalty = image + step_b, (self._inner(step, image, a) / self.C, squared / self.C)
            share, probabilities = self._search(logits, probabilities, change, of_penalty, negligible)
            a, b, logits = a + share * step, b + share * step_b, logits + share * change
            step, step_b, image = self._step(probabilities, a)
        return a, b

    def _step(self, probabilities: Array, a: Array) -> tuple[Array, Array, Array]:
        """Solves Hessian · step = −gradient by preconditioned conjugate gradients, each task to its own tolerance.

        Returns:
            the step of A, that of b, and Z times the former.
        """
        xp, C = self.xp, self.C
        ways = probabilities.shape[-1]
        # P sums to one, so the classes' mean of P (1 − P) is (1 − Σ P²) / K; the class coupling makes K into K − 1.
        spread_Tn1 = (1.0 - xp.vecdot(probabilities, probabilities)[..., None]) / (ways - 1)
        # b's mean curvature, which has no penalty to keep it from zero where every P is 0 or 1.
        curvature_b = self.ones @ spread_Tn1 + 1e-9
        if self.in_span:
            # Weights are preconditioned by nothing, which leaves them a curvature of 1 / C at least; b gets as much.
            inverse, inverse_b = None, 1.0 / (C * curvature_b)
        else:
            inverse, inverse_b = 1.0 / (self.z_squared.mT @ spread_Tn1 + 1.0 / C), 1.0 / curvature_b
        excess = self.y - probabilities
        residual, residual_b = self._pulled_back(excess) - a / C, self.ones @ excess
        step, step_b, step_image = xp.zeros_like(residual), xp.zeros_like(residual_b), xp.zeros_like(excess)
        direction, direction_b, image, rho = self._preconditioned(residual, residual_b, inverse, inverse_b)
        direction_image = image
        # Tighter as the gradient vanishes, so that the outer iteration is superlinear without solving early steps too well.
        goal = rho / (1.0 / FORCING + 1.0 / (xp.sqrt(rho) + TINY)) + self.negligible
        if self.in_span:
            goal = goal + self.rounding * self._dot(residual, residual)
        for _ in range(MAX_CG_STEPS):
            active = rho > goal
            if not bool(xp.any(active)):
                break
            u = direction_image + direction_b
            s = probabilities * (u - xp.vecdot(probabilities, u)[..., None])
            product, product_b = self._pulled_back(s) + direction / C, self.ones @ s
            curvature = self._inner(direction, direction_image, product) + xp.vecdot(direction_b, product_b)[..., None]
            alpha = xp.where(active, rho / (curvature + TINY), 0.0)
            step, step_b = step + alpha * direction, step_b + alpha * direction_b
            step_image = step_image + alpha * direction_image
            residual, residual_b = residual - alpha * product, residual_b - alpha * product_b
            previous = rho
            towards, towards_b, image, rho = self._preconditioned(residual, residual_b, inverse, inverse_b)
            beta = rho / (previous + TINY)
            direction, direction_b = towards + beta * direction, towards_b + beta * direction_b
            direction_image = image + beta * direction_image
        return step, step_b, step_image

    def _preconditioned(
        self, residual: Array, residual_b: Array, inverse: Array | None, inverse_b: Array
    ) -> tuple[Array, Array, Array, Array]:
        """The preconditioner's inverse times the residual, its image, and their inner product with the residual."""
        towards, towards_b = residual if inverse is None else inverse * residual, inverse_b * residual_b
        image = self.z @ towards
        # Rounding, which alone can make a square negative, must not.
        rho = self.xp.abs(self._inner(towards, image, residual)) + self.xp.vecdot(towards_b, residual_b)[..., None]
        return towards, towards_b, image, rho

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
        slope_left = SLOPE_LEFT * xp.abs(self._dot(probabilities - self.y, change) + slope_of_penalty)
        share = xp.ones_like(slope_of_penalty)
        low, high = xp.zeros_like(share), xp.full_like(share, xp.inf)
        for _ in range(MAX_SEARCHES):
            probabilities = _softmax(xp, logits + share * change)
            slope = self._dot(probabilities - self.y, change) + slope_of_penalty + share * curvature_of_penalty
            found = (xp.abs(slope) <= slope_left) | negligible
            if bool(xp.all(found)):
                return share, probabilities
            low, high = xp.where(slope < 0, share, low), xp.where(slope < 0, high, share)
            spread = change - xp.vecdot(probabilities, change)[..., None]
            curvature = self._dot(probabilities * spread, spread) + curvature_of_penalty
            guess = xp.minimum(share - slope / (curvature + TINY), 4.0 * share)
            guess = xp.where((guess > low) & (guess < high), guess, 0.5 * (low + xp.minimum(high, 4.0 * share)))
            share = xp.where(found, share, guess)
        # Rounding hides the least; at `low` the objective, being convex, is below that at the start.
        share = xp.where(found, share, low)
        return share, _softmax(xp, logits + share * change)

    def _pulled_back(self, q: Array) -> Array:
        """The coefficients of Xᵀ Q."""
        return q if self.in_span else self.z.mT @ q

    def _inner(self, coefficients: Array, image: Array, others: Array) -> Array:
        """The inner product of two weights by their coefficients; `image` is Z times the first."""
        return self._dot(image if self.in_span else coefficients, others)

    def _dot(self, a: Array, b: Array) -> Array:
        """Each task's inner product of two stacks of arrays, (T, 1, 1)."""
        reshape, tasks = self.xp.reshape, len(a)
        return reshape(a, (tasks, 1, -1)) @ reshape(b, (tasks, -1, 1))
