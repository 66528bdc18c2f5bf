"""One trunk for all tasks, a head for each: hard parameter sharing (Caruana, Machine Learning 1997, section 2)."""

from torch import Tensor

from training.architectures.sharing import Architecture, Setting, SharedNetwork, by_task, together


class SharedTrunk(SharedNetwork):
    """The tasks differ in their heads alone."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.trunk = setting.trunk(1)

    def features(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the trunk's features, (T, n, D)."""
        features_ND = self.trunk(together(images_Tn3HW)).flatten(1)
        return by_task(features_ND, len(images_Tn3HW))


ARCHITECTURE = Architecture("shared-trunk", "Caruana, Machine Learning 1997", SharedTrunk)
