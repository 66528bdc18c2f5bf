"""Newton's method for multinomial logistic regression, on a stack of tasks at once.

Shape legend: T tasks, n examples of a task, D features, K classes (ways), d coordinates of the solution.

A small task's fit is hundreds of operations of a microsecond each, so the overhead of an operation counts beside its arithmetic.
The array API's functions cost twice as much as the methods that NumPy and PyTorch share. Where they do, this file uses the
methods.
"""

from collections.abc import Callable
from typing import Any

from models.arrays import Array

# A logistic fit is done when Newton's step is this short: scores of features of norm one move by little more. The step is still
# taken, so the remaining error is far below the 1e-4 in probability that the fit promises.
STEP_TOLERANCE = 1e-5
MAX_NEWTON_STEPS = 100
MAX_CG_STEPS = 500
FORCING = 0.01  # Conjugate gradients reduce the squared error by at least this factor.
MAX_SEARCHES = 30
SLOPE_LEFT = 0.1  # A search along a step ends where the objective's slope is at most this share of its slope at the start.
EPSILON = 2.0**-52
TINY = 1e-300  # Makes 0 / 0 zero, and changes nothing else.


def softmax(xp: Any, logits: Array) -> Array:
    """Returns the softmax along the last axis."""
    exponentials = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return exponentials / xp.sum(exponentials, axis=-1, keepdims=True)


class Newton:
    """Newton's method for a stack of logistic regressions, all tasks in step.

    Each step is solved by conjugate gradients (truncated Newton; Nocedal & Wright, Numerical Optimization, algorithm 7.1), so
    that no K·D-wide matrix is ever formed.

    The unknowns V (T, d + 1, K) are coefficients A over the intercept b. The examples X (T, n, D) are centred. There are two
    ways to make the weight:

    - in the span of the examples, the weight is Aᵀ X (d = n), and Z = X Xᵀ is the Gram matrix;
    - along principal axes, A are the weight's coordinates, and Z are the examples' coordinates.

    In both, the logits are Z A + b. In terms of the weight W and b,

        objective   Σ_i −log P[i, y_i] + ‖W‖² / 2C,   P = softmax(logits)      (that of `logistic.fit`, over C)
        gradient    Xᵀ (P − Y) + W / C,   and for b: Σ_i (P − Y)[i]
        Hessian·V   Xᵀ S + V / C,   and for b: Σ_i S[i],   S = P ∘ (U − rowsum(P ∘ U)),   U the logits of V

    In the span, Xᵀ Q is the weight with the coefficients Q, so products with Xᵀ cost nothing. Conjugate gradients also need
    inner products of weights, and these come from the images Z A. So each of their steps costs one product with Z, in the place
    of a preconditioner, and the examples need no decomposition first (cf. Chapelle, Training a Support Vector Machine in the
    Primal, 2007, section 3). But coefficients are not unique where examples depend on each other. A residual may then hold a
    part that makes no weight; one image under two labels leaves plenty. Its rounding drowns small residuals, so the solution
    stops at that size.

    Along principal axes a step costs two products with Z. The Hessian's diagonal is the preconditioner, and it works for any C.
    It is averaged over the classes, so that no step leaves the subspace Σ_k A_k = 0, in which gradient and optimum lie. At zero
    it is the whole Hessian.

    An example may count `counts` times, zero or one, the same or differently in each task. P and Y hold zeros for an example
    that counts zero times. That removes it from the gradient and the Hessian. Z may be one matrix for all tasks.

    The image of unknowns V is (Z A; b) in the span, and V itself along principal axes. Logits are made from the image. Its inner
    product with V gives the squares of weight and intercept.
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
            # A residual's square times this bounds the rounding error in the square of the weight that it makes.
            self.rounding = EPSILON * xp.linalg.trace(z_Tnd)[:, None, None]
        else:
            self.z = xp.concat([z_Tnd, ones_Tn1], axis=2)
            self.z_squared = z_Tnd * z_Tnd
            self.negligible = (0.05 * STEP_TOLERANCE) ** 2 / C

    def solve(self, towards: Array, towards_b: Array) -> tuple[Array, Array, Array]:
        """Returns A, b and the logits at the optimum.

        The first step goes from zero towards `towards` and `towards_b`, as far as that lowers the objective.
        """
        step = self.xp.concat([towards, towards_b], axis=1)
        return self._descend(0.0 * step, 0.0 * self.y, step, self._image(step))

    def solve_from(self, a: Array, b: Array) -> tuple[Array, Array, Array]:
        """Returns A, b and the logits at the optimum, from an A and b near it."""
        v = self.xp.concat([a, b], axis=1)
        logits = self._logits(self._image(v))
        step, image = self._step(self._probabilities(logits), v)
        return self._descend(v, logits, step, image)

    def _descend(self, v: Array, logits: Array, step: Array, image: Array) -> tuple[Array, Array, Array]:
        """Returns A, b and the logits at the optimum, from unknowns V with these logits and a known first step."""
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
        # Only rounding can make this square negative.
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
        """Returns a function from a residual (T, d + 1, K) to the image of a direction."""
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
        """Searches along a step for about the least objective, by Newton's method in one dimension.

        That costs no product with Z. It saves steps where the curvature falls along the way, as it does in separable tasks.

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
        # Rounding hides the minimum. At `low` the convex objective is below its value at the start.
        share = xp.where(found, share, low)
        return share, self._probabilities(logits + share * change)

    def _probabilities(self, logits: Array) -> Array:
        probabilities = softmax(self.xp, logits)
        return probabilities if self.counts is None else self.counts * probabilities

    def _image(self, v: Array) -> Array:
        return (self.z + self.of_b) @ v if self.in_span else v

    def _logits(self, image: Array) -> Array:
        return image[:, :-1] + image[:, -1:] if self.in_span else self.z @ image

    def _pulled_back(self, q: Array) -> Array:
        """Returns the unknowns whose weight is Xᵀ Q, with Σ_i Q[i] for the intercept. The gradient is made of these."""
        return self.xp.concat([q, self.ones @ q], axis=1) if self.in_span else self.z.mT @ q


def _dot(a: Array, b: Array) -> Array:
    """Returns each task's inner product of two stacks of arrays, (T, 1, 1)."""
    tasks = len(a)
    return a.reshape((tasks, 1, -1)) @ b.reshape((tasks, -1, 1))
