"""MAML: model-agnostic meta-learning (Finn, Abbeel & Levine, ICML 2017, arXiv:1703.03400).

Every weight of backbone and last layer takes a few gradient steps on an episode's support set. The loss is that of the adapted
network on the queries, differentiated through those steps. That takes second derivatives of the support loss. The first-order
form, FOMAML (section 5.2), leaves them out: the meta-gradient is that of the queries' loss at the adapted weights.
"""

from functools import partial
from itertools import repeat

from torch import Tensor, nn

from training.objectives.inner_loop import InnerLoopObjective, Weights, descend, loss_of, weights_of
from training.objectives.methods import Episodes, MetaMethod, Published


class Maml(InnerLoopObjective):
    """Shapes: see `training.objectives.inner_loop`.

    Args:
        dim, ways: see `InnerLoopObjective`.
        steps: of the inner loop, in training as in use. The paper takes 5 in training and 10 in use (appendix A.1).
        rate: its learning rate; the paper's 0.01 makes five steps too short on CIFAR-FS.
        first_order: whether it is FOMAML.
    """

    def __init__(self, dim: int, ways: int = 5, steps: int = 5, rate: float = 0.05, *, first_order: bool = False) -> None:
        super().__init__(dim, ways)
        self.steps = steps
        self.rate = rate
        self.first_order = first_order

    def adapt(self, learner: nn.Module, images_n3HW: Tensor, labels_n: Tensor) -> Weights:
        loss = loss_of(learner, images_n3HW, labels_n)
        return descend(repeat(loss, self.steps), weights_of(learner), self.rate, first_order=self.first_order)


_EPISODES = Episodes(tasks=2, shots=(1, 5), queries=6)  # those of ANIL, but 2 a step, the paper's number for 5 shots

METHOD = MetaMethod(
    name="MAML",
    family="optimisation",
    objective=Maml,
    episodes=_EPISODES,
    published=Published("Bertinetto et al., arXiv:1805.08136v1, with 32 filters", {1: 0.589, 5: 0.715}),
)
FIRST_ORDER = MetaMethod(
    name="FOMAML",
    family="optimisation",
    objective=partial(Maml, first_order=True),
    episodes=_EPISODES,
    published=Published("PaddleFSL's results, with 64 filters", {1: 0.571, 5: 0.722}),
)
