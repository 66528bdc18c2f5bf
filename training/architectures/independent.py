"""One network for each task, with nothing shared: what any sharing is compared with.

The T networks run side by side, each on the images of its task.
"""

from torch import Tensor

from training.architectures.sharing import Architecture, Setting, SharedNetwork, apart


class Independent(SharedNetwork):
    """T trunks."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.trunks = setting.trunk(setting.tasks)

    def features(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the features (T, n, D) of each task's images by its own trunk."""
        return apart(self.trunks(apart(images_Tn3HW)).flatten(2))


ARCHITECTURE = Architecture("one-network-per-task", "no sharing", Independent)
