"""What tests of heads have in common."""

import numpy as np

from models.arrays import Floats, Ints
from models.manifest import HeadOptions, Solver


def options(solver: Solver = "logistic", C: float = 3.0, temperature: float = 1.0, centre: bool = True) -> HeadOptions:
    """Head options, those that matter to the test named by it."""
    return HeadOptions(solver=solver, C=C, temperature=temperature, centre=centre)


def left_out_by_scikit_learn(x: Floats, y: Ints, C: float) -> Floats:
    """Each example's probabilities, as they would be if the other examples were of all classes equally often."""
    # Imported here, since processes that write to a store import this module too, and scikit-learn takes a second.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import LeaveOneOut, cross_val_predict

    oracle = LogisticRegression(C=C, tol=1e-10, max_iter=10_000)
    # A rotation into the space that the examples span, where the weights lie, changes no verdict and saves dimensions.
    span = np.linalg.svd(x, full_matrices=False)[2]
    probabilities = cross_val_predict(oracle, x @ span.T, y, cv=LeaveOneOut(), method="predict_proba")
    others = np.bincount(y) - np.eye(y.max() + 1)[y]
    adjusted = probabilities / others
    shares: Floats = adjusted / adjusted.sum(axis=1, keepdims=True)
    return shares
