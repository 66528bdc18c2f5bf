"""Groups of examples that are left out together."""

from collections.abc import Iterator

import numpy as np

from models.arrays import Ints


def by_size(groups: Ints) -> Iterator[Ints]:
    """The positions of each group's examples, (groups of one size, that size), for each size that occurs.

    Args:
        groups: (n,) the group of each example.
    """
    _, starts, sizes = np.unique(groups[order := np.argsort(groups, kind="stable")], return_index=True, return_counts=True)
    for size in np.unique(sizes):
        yield order[starts[sizes == size, None] + np.arange(size)]
