"""Reliability: left-out examples by the probability of the label that they got, to see whether probabilities mean what they say.

The diagram is that of Niculescu-Mizil & Caruana, "Predicting Good Probabilities with Supervised Learning" (ICML 2005).
"""

from typing import NamedTuple

import numpy as np

from models.arrays import Ints
from models.heads.leave_one_out import LeftOut

_EDGES = np.linspace(0.0, 1.0, 6)


class Bin(NamedTuple):
    """The judged examples whose label got a probability in one range.

    Attributes:
        lowest, highest: the range; its upper end belongs to the next one, and 1 to the last.
        examples: how many they are.
        probability: that of the labels that they got, in the mean.
        accuracy: the share of them that got the right one. In both, each group that was left out together counts as one.
    """

    lowest: float
    highest: float
    examples: int
    probability: float
    accuracy: float


def reliability(left_out: LeftOut, labels: Ints) -> list[Bin]:
    """Returns the ranges, a fifth wide each, that hold any judged example; the lowest first.

    Args:
        labels: (n,) the examples' own classes. Where another class is equally likely, the example got the wrong one.
    """
    judged = np.flatnonzero(left_out.judged)
    verdicts = left_out.verdicts(labels)[judged]
    sure, right, weights = left_out.probabilities[judged, verdicts], verdicts == labels[judged], left_out.weights[judged]
    places = np.digitize(sure, _EDGES[1:-1])
    found = []
    for place in np.unique(places):
        inside = places == place
        probability, accuracy = (float(np.average(of[inside], weights=weights[inside])) for of in (sure, right))
        lowest, highest = _EDGES[place : place + 2].round(1).tolist()
        found.append(Bin(lowest, highest, int(inside.sum()), probability, accuracy))
    return found
