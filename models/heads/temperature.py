"""The temperature that calibrates a task's probabilities: a law of its support set, fitted once per bundle.

Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2) fits one number for one
classifier on held-out images of its classes. A task of a few examples has none to spare, and one number for all tasks is wrong
for most. Only the support set is known before the fit:

- how many classes there are, and of how many examples;
- how alike examples of a class are, and examples of different classes;
- how class means score examples that are left out of them.

log T is a sum of such terms (`single_terms`, `several_terms`), with coefficients of each solver.
`training.calibration.temperatures` fits them on episodes of validation classes.

The laws of older bundles know the numbers alone (`count_terms`).
"""

import math

import numpy as np

from models.arrays import Floats, Ints, Reals
from models.heads.geometry import Geometry, effective_shots, geometry
from models.heads.head import Float32
from models.heads.head import features as features_of
from models.manifest import HeadDefaults, HeadOptions, Solver, SupportLaw, TemperatureLaw

_LEAST, _MOST = 1e-3, 1e3  # The bounds of `HeadOptions`, far outside the temperatures that any law was fitted on.

Law = TemperatureLaw | SupportLaw


def count_terms(ways: int, shots: float) -> tuple[float, ...]:
    """Returns the terms of a `TemperatureLaw`, in the order of its coefficients."""
    return 1.0, math.log(ways), 1.0 / ways, math.log(shots), 1.0 / shots


def single_terms(of: Geometry) -> tuple[float, ...]:
    """Returns the terms of a `SingleLaw`. With one example of a class, nothing can be left out."""
    return 1.0, math.log(of.ways), 1.0 / of.ways, of.between, of.nearest, of.nearest * math.log(of.ways)


def several_terms(of: Geometry) -> tuple[float, ...]:
    """Returns the terms of a `SeveralLaw`; zeros where no class has several examples."""
    if of.left_out is None:
        return (0.0,) * 9
    unequal = math.log(of.counts.mean() / of.shots)
    found = of.left_out
    counted = count_terms(of.ways, of.shots)
    return *counted, unequal, found.log_likeliest, found.recognised, found.within - of.nearest


def support_terms(of: Geometry) -> Floats:
    """Returns the terms of a `SupportLaw`: those of `single`, then those of `several`.

    Each part is weighted by the share of the classes that it is for. So T moves little when one class of many gets its second
    example.
    """
    several = float(np.mean(of.counts > 1))
    return np.concatenate([(1.0 - several) * np.array(single_terms(of)), several * np.array(several_terms(of))])


def coefficients(law: SupportLaw) -> Floats:
    """Returns the coefficients of a law, in the order of `support_terms`."""
    return np.array([value for part in (law.single, law.several) for _, value in part])


def temperature(law: Law, features: Reals, labels: Ints) -> float:
    """Returns T for a task with such a support set.

    Args:
        features: (n, D), as `models.heads.head.features` makes them and the head reads them.
        labels: (n,), integers in [0, K); every class has at least one example.
    """
    if isinstance(law, TemperatureLaw):
        counts = np.bincount(labels)
        log = float(np.dot([value for _, value in law], count_terms(len(counts), effective_shots(counts))))
    else:
        log = float(coefficients(law) @ support_terms(geometry(features, labels)))
    return min(max(math.exp(min(log, math.log(_MOST))), _LEAST), _MOST)


def law_of(defaults: HeadDefaults, solver: Solver | None = None) -> Law | None:
    """Returns the law of `solver`, or of the default solver; None for a bundle without such a law, whose options
    have one temperature for every task.
    """
    return None if defaults.temperatures is None else defaults.temperatures.of(solver or defaults.solver)


def options_for(defaults: HeadDefaults, solver: Solver | None, embeddings: Float32, labels: Ints, mean: Float32) -> HeadOptions:
    """Returns a bundle's options of `solver`, or of the default solver, with the temperature for such a support set.

    Args:
        embeddings: (n, D).
        labels: (n,), integers in [0, K); every class has at least one example.
        mean: (D,) the bundle's feature mean.
    """
    options = defaults.options(solver)
    if (law := law_of(defaults, options.solver)) is None:
        return options
    found = temperature(law, features_of(embeddings, mean if options.centre else None), labels)
    return options.model_copy(update={"temperature": found})
