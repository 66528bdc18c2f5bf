"""Frozen backbone, new heads: what Headstart serves.

The first task trains the backbone. From then on it never changes, and each task gets the head that the server would fit. So
nothing is ever forgotten, and a task that the frozen backbone suits badly is learned badly.
"""

from torch import Tensor

from training.continual.learner import Augment, ContinualLearner, ContinualMethod, MakeTrunk, to_images


class FrozenTrunk(ContinualLearner):
    """Trains the trunk on the first task alone."""

    def __init__(self, make_trunk: MakeTrunk, augment: Augment = to_images) -> None:
        super().__init__(make_trunk, augment)
        self._mean_D: Tensor | None = None

    def begin(self, classes: int) -> None:
        super().begin(classes)
        if self._mean_D is not None:
            self.heads[-1].requires_grad_(False)  # it will be fitted, not trained

    def consolidate(self, pixels_NHW3: Tensor, labels_N: Tensor) -> None:
        """Fits the head, and freezes everything."""
        super().consolidate(pixels_NHW3, labels_N)
        self.requires_grad_(False)

    def centre(self, embeddings_ND: Tensor) -> Tensor:
        """Returns the mean embedding (D,) of the first task's images, as a bundle has that of its base classes."""
        if self._mean_D is None:
            self._mean_D = super().centre(embeddings_ND)
        return self._mean_D


METHOD = ContinualMethod("frozen backbone", "Headstart", FrozenTrunk)
