"""The network and the heads it is trained through: from a batch of images to the loss of each objective."""

from collections.abc import Sequence
from typing import NamedTuple, Optional, cast

import torch
from torch import Tensor, nn
from torch.nn import ModuleList

from models.backbones import Backbone
from training.objectives import ClassBank, Rotation, distillation

CLASSES = "classes"
ROTATION = "rotation"
DISTILLATION = "distillation"


class Share(NamedTuple):
    """The images of one dataset in a batch.

    Attributes:
        dataset: its position among the run's datasets.
        labels_n: indices of its base classes.
        tasks_TK: the classes of its T tasks, whose images follow each other; None for one task of every class.
    """

    dataset: int
    labels_n: Tensor
    tasks_TK: Tensor | None

    def repeat(self, times: int) -> "Share":
        """The same images that many times, one whole copy after the other."""
        tasks_TK = None if self.tasks_TK is None else self.tasks_TK.repeat(times, 1)
        return Share(self.dataset, self.labels_n.repeat(times), tasks_TK)


class Learner(nn.Module):
    """A backbone, a class bank per dataset, and a head that tells rotations.

    Args:
        classes: the number of base classes of each dataset.
        normalise: see `ClassBank`.
        temperature: of distillation.
    """

    def __init__(self, backbone: Backbone, classes: Sequence[int], *, normalise: bool, temperature: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.banks = ModuleList(ClassBank(count, backbone.embedding_dim, normalise=normalise) for count in classes)
        self.rotation = Rotation(backbone.embedding_dim)
        self._temperature = temperature

    def forward(
        self, images_N3HW: Tensor, shares: Sequence[Share], turns_N: Tensor | None, teacher: Optional["Learner"] = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Embeddings (N, D), and the mean loss of each objective over the images it judges.

        Args:
            images_N3HW: the images of all shares, one share after the other, in [0, 1].
            turns_N: by how many quarter turns each image was rotated; None leaves the rotation objective out.
            teacher: a trained learner of the same classes; adds distillation.

        Returns:
            Losses by name: `classes/<dataset>`, `distillation/<dataset>`, `rotation`.
        """
        embeddings_ND = self.backbone(images_N3HW).float()
        soft_ND = teacher.embed(images_N3HW) if teacher else None
        with torch.autocast(images_N3HW.device.type, enabled=False):
            return embeddings_ND, self._losses(embeddings_ND, shares, turns_N, teacher, soft_ND)

    @torch.no_grad()
    def embed(self, images_N3HW: Tensor) -> Tensor:
        """Embeddings (N, D), without gradients."""
        embeddings: Tensor = self.backbone.forward(images_N3HW)  # not the compiled call: batches here have any size
        return embeddings.float()

    def _losses(
        self,
        embeddings_ND: Tensor,
        shares: Sequence[Share],
        turns_N: Tensor | None,
        teacher: Optional["Learner"],
        soft_ND: Tensor | None,
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        start = 0
        for share in shares:
            own = slice(start, start := start + len(share.labels_n))
            bank = cast("ClassBank", self.banks[share.dataset])
            losses[f"{CLASSES}/{share.dataset}"] = bank(embeddings_ND[own], share.labels_n, share.tasks_TK)
            if teacher is not None and soft_ND is not None:
                student_nK = bank.logits(embeddings_ND[own], share.tasks_TK)
                taught = cast("ClassBank", teacher.banks[share.dataset])
                teacher_nK = taught.logits(soft_ND[own], share.tasks_TK)
                losses[f"{DISTILLATION}/{share.dataset}"] = distillation(student_nK, teacher_nK, self._temperature)
        if turns_N is not None:
            losses[ROTATION] = self.rotation(embeddings_ND, turns_N)
        return losses
