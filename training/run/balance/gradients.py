"""The objectives' gradients of the backbone, combined into one direction by an aggregator of torchjd.

The heads follow their own losses. An aggregator is made anew for each step: the number of objectives can differ from step to
step, and nothing that a checkpoint does not hold may go from one step to the next.

Some of torchjd's aggregators have no entry. GradVac, ExcessMTL and PCD average over steps. Krum and TrimmedMean are against
adversaries. Constant, Mean and Sum are `fixed`.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import Parameter

from training.run.balance.base import Balance, Balancing, BalancingError, Term

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torchjd.aggregation import Aggregator

Make = Callable[[ModuleType, int], "Aggregator"]


class GradientCombination(Balance):
    """Combines gradients.

    Args:
        make: makes the aggregator from the module `torchjd.aggregation` and the number of gradients.
        shared: the backbone's parameters.

    Raises:
        BalancingError: the aggregator needs libraries that are not there.
    """

    one_pass = False

    def __init__(self, names: Sequence[str], make: Make, shared: Sequence[Parameter]) -> None:
        super().__init__(names)
        self._make = make
        self._shared = list(shared)
        try:
            self._aggregator(len(names))
        except ImportError as error:
            raise BalancingError(f"{error}; pip install '.[balance]' brings what every balancing needs") from error

    def _aggregator(self, gradients: int) -> "Aggregator":
        return self._make(import_module("torchjd.aggregation"), gradients)

    def backward(self, terms: Mapping[str, Term], embeddings_ND: Tensor, fabric: "Fabric") -> None:
        if len(terms) == 1:
            super().backward(terms, embeddings_ND, fabric)
            return
        from torchjd.autojac import jac_to_grad, mtl_backward

        losses = [term.weight * term.loss for term in terms.values()]
        # One objective at a time: torch.vmap, the alternative, does not cover every backbone.
        mtl_backward(losses, features=embeddings_ND, shared_params=self._shared, parallel_chunk_size=1)
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "You are solving a parameterized problem that is not DPP"
            )  # in each step of Nash-MTL
            jac_to_grad(self._shared, self._aggregator(len(losses)))


def _entry(name: str, source: str, make: Make) -> Balancing:
    return Balancing(name, source, lambda names, shared: GradientCombination(names, make, shared))


# Removes from each gradient the part that conflicts with another.
PCGRAD = _entry("pcgrad", "Yu et al., NeurIPS 2020", lambda torchjd, _: torchjd.PCGrad())
# The shortest convex combination, which worsens no objective.
MGDA = _entry("mgda", "Désidéri 2012; Sener & Koltun, NeurIPS 2018", lambda torchjd, _: torchjd.MGDA())
# Near the mean gradient, the direction that is best for the worst objective. 0.5 is the middle of the paper's search.
CAGRAD = _entry("cagrad", "Liu et al., NeurIPS 2021", lambda torchjd, _: torchjd.CAGrad(c=0.5))
# The bargain of players who gain their objectives' progress.
NASH_MTL = _entry("nash-mtl", "Navon et al., ICML 2022", lambda torchjd, count: torchjd.NashMTL(n_tasks=count))
# Equal projections on every gradient.
IMTL_G = _entry("imtl-g", "Liu et al., ICLR 2021", lambda torchjd, _: torchjd.IMTLG())
# Gradients made orthogonal and of one length.
ALIGNED_MTL = _entry("aligned-mtl", "Senushkin et al., CVPR 2023", lambda torchjd, _: torchjd.AlignedMTL())
# Equal progress for every objective along the pseudoinverse of unit gradients.
CONFIG = _entry("config", "Liu, Chu & Thuerey, ICLR 2025", lambda torchjd, _: torchjd.ConFIG())
# α-fair shares of progress; α = 1 is Nash-MTL's, and a greater α helps the worst objective more.
FAIRGRAD = _entry("fairgrad", "Ban & Ji, ICML 2024", lambda torchjd, _: torchjd.FairGrad(alpha=2.0))
# Keeps of each coordinate one sign alone, by chance.
GRADDROP = _entry("graddrop", "Chen et al., NeurIPS 2020", lambda torchjd, _: torchjd.GradDrop())
# The mean gradient, projected so that it conflicts with none.
DUALPROJ = _entry("dualproj", "Lopez-Paz & Ranzato, NeurIPS 2017", lambda torchjd, _: torchjd.DualProj())
# Each gradient projected so that it conflicts with none, then their mean.
UPGRAD = _entry("upgrad", "Quinton & Rey, arXiv:2406.16232", lambda torchjd, _: torchjd.UPGrad())
# Random weights: what any other way should do better than.
RANDOM = _entry("random", "Lin et al., TMLR 2022", lambda torchjd, _: torchjd.Random())
