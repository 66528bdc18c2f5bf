"""Prototypical networks (Snell, Swersky & Zemel, NeurIPS 2017, arXiv:1703.05175).

A query's logit for a class is minus its squared Euclidean distance to the mean of the class's support embeddings. Training
on more ways than the evaluation has makes better embeddings (section 3 of the paper: 20 ways for 5).
"""

from torch import Tensor

from training.objectives.episodic import EpisodicObjective
from training.objectives.methods import Episodes, MetaMethod, Published


class ProtoNet(EpisodicObjective):
    """Has no parameters. Shapes: see `training.objectives.episodic`."""

    def scores(self, support_TKSD: Tensor, query_TqD: Tensor) -> Tensor:
        """Returns −‖query − prototype‖² + ‖query‖², (T, q, K). The second term is the same for every class and cancels in the
        softmax.
        """
        prototypes_TKD = support_TKSD.mean(dim=2)
        return 2.0 * query_TqD @ prototypes_TKD.transpose(1, 2) - prototypes_TKD.square().sum(dim=2)[:, None]


METHOD = MetaMethod(
    name="ProtoNet",
    family="metric",
    objective=lambda _dim, _ways: ProtoNet(),
    episodes=Episodes(tasks=1, ways=20, shots=(5,), queries=5),  # the paper has 15 queries; 5 give more steps in the same time
    published=Published("Bertinetto et al., arXiv:1805.08136v1, with 64 filters", {1: 0.555, 5: 0.720}),
)
