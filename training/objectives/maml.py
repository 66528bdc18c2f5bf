"""MAML: model-agnostic meta-learning (Finn, Abbeel & Levine, ICML 2017, arXiv:1703.03400), second order.

Every weight of backbone and last layer takes a few gradient steps on an episode's support set. The loss is that of the adapted
network on the queries, differentiated through those steps.
"""

from itertools import repeat

from torch import Tensor, nn

from training.objectives.inner_loop import InnerLoopObjective, Weights, descend, loss_of, weights_of
from training.objectives.methods import Episodes, MetaMethod, Published


class Maml(InnerLoopObjective):
    """Shapes: see `training.objectives.inner_loop`.

    Args:
        dim, ways: see `InnerLoopObjective`.
        steps: of the inner loop; 5 is the paper's.
        rate: its learning rate; the paper's 0.01 makes five steps too short on CIFAR-FS.
    """

    def __init__(self, dim: int, ways: int = 5, steps: int = 5, rate: float = 0.05) -> None:
        super().__init__(dim, ways)
        self.steps = steps
        self.rate = rate

    def adapt(self, learner: nn.Module, images_n3HW: Tensor, labels_n: Tensor) -> Weights:
        loss = loss_of(learner, images_n3HW, labels_n)
        return descend(repeat(loss, self.steps), weights_of(learner), self.rate)


METHOD = MetaMethod(
    name="MAML",
    family="optimisation",
    objective=Maml,
    episodes=Episodes(tasks=2, shots=(1, 5), queries=6),  # the episodes of ANIL, but 2 a step, the paper's number for 5 shots
    published=Published("Bertinetto et al., arXiv:1805.08136v1, with 32 channels", {1: 0.589, 5: 0.715}),
)
