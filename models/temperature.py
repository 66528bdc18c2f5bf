"""The temperature under which a task's probabilities are honest: a law of its ways and shots, fitted once per bundle.

Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2) fits one number for one
classifier on held-out images of its classes. A task of a few examples has none to spare, and one number for all tasks is wrong
for most: scores grow with the examples, and how much they overstate depends on the classes. Both are known before the fit:

    log T = a + b log K + c / K + d log s + e / s        K classes of s examples each

with the coefficients of each solver fitted on episodes of the validation classes (`training.temperatures`). The inverse terms
are for few classes and examples; towards many, T follows powers of both.
"""

import math
from collections.abc import Sequence

import numpy as np

from models.manifest import HeadDefaults, HeadOptions, Solver, TemperatureLaw

_LEAST, _MOST = 1e-3, 1e3  # What `HeadOptions` allows, and far outside what any law was fitted on.


def effective_shots(counts: Sequence[int]) -> float:
    """The shots of a task whose classes have unequally many examples: their harmonic mean.

    A class mean of n examples errs by a variance in proportion to 1 / n, and the harmonic mean is the equal number with the same
    variance on average.

    Args:
        counts: examples of each class, at least 1.
    """
    return len(counts) / float(np.sum(1.0 / np.asarray(counts)))


def terms(ways: int, shots: float) -> tuple[float, float, float, float, float]:
    """What a law's coefficients multiply, in their order."""
    return 1.0, math.log(ways), 1.0 / ways, math.log(shots), 1.0 / shots


def temperature(law: TemperatureLaw, counts: Sequence[int]) -> float:
    """T for a task with so many examples of each class."""
    coefficients = law.intercept, law.log_ways, law.inverse_ways, law.log_shots, law.inverse_shots
    log = float(np.dot(coefficients, terms(len(counts), effective_shots(counts))))
    return min(max(math.exp(min(log, math.log(_MOST))), _LEAST), _MOST)


def options_for(defaults: HeadDefaults, solver: Solver | None, counts: Sequence[int]) -> HeadOptions:
    """A bundle's options of `solver`, or of the default solver, with the temperature for a task of so many examples per class.

    A bundle without laws has one temperature for every task.
    """
    options = defaults.options(solver)
    if defaults.temperatures is None:
        return options
    return options.model_copy(update={"temperature": temperature(defaults.temperatures.of(options.solver), counts)})
