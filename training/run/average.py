"""The exponential moving average of a run's weights, which is measured and exported in place of the last ones.

θ̄ ← d·θ̄ + (1 - d)·θ after each step (Polyak & Juditsky, SIAM J. Control Optim. 1992; with this weighting Tarvainen & Valpola,
NeurIPS 2017, arXiv:1703.01780, section 2). It begins as the weights after the first step. Running means and variances of batch
normalisation are averaged alike.
"""

from collections.abc import Mapping
from typing import cast

from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.run.learner import Learner

_PREFIX = "module."


class WeightAverage:
    """The average of a learner's weights so far.

    Args:
        learner: is copied, on its device.
        decay: d, from 0 to 1.
        state: of an average to go on with; empty for a new one.
    """

    def __init__(self, learner: Learner, decay: float, state: Mapping[str, Tensor]) -> None:
        function = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._model = AveragedModel(learner, multi_avg_fn=function, use_buffers=True)
        if state:
            self._model.load_state_dict(state)

    @property
    def learner(self) -> Learner:
        """The network with the averaged weights."""
        return cast("Learner", self._model.module)

    def update(self, learner: Learner) -> None:
        """Takes the weights after a step into the average."""
        self._model.update_parameters(learner)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the average and its count, for a checkpoint."""
        state: dict[str, Tensor] = self._model.state_dict()
        return state


def averaged_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a learner's weights from the state of its average."""
    return {name.removeprefix(_PREFIX): value for name, value in state.items() if name.startswith(_PREFIX)}
