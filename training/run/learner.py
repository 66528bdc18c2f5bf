"""The network and its training heads: from a batch of images to the loss of each objective."""

import copy
from collections.abc import Sequence
from typing import NamedTuple, Optional, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import ModuleList

from models.backbones import Backbone, EfficientNetLite
from training.objectives import ClassBank, Rotation, anchor_distance, distillation
from training.run.recipes import Recipe, RecipeError

CLASSES = "classes"
ROTATION = "rotation"
DISTILLATION = "distillation"
ANCHOR = "anchor"


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
        """Returns the images that many times, one whole copy after the other."""
        tasks_TK = None if self.tasks_TK is None else self.tasks_TK.repeat(times, 1)
        return Share(self.dataset, self.labels_n.repeat(times), tasks_TK)


class Learner(nn.Module):
    """A backbone, a class bank per dataset and a rotation head. Where the recipe anchors, also the initial backbone.

    Args:
        classes: the number of base classes of each dataset.
        recipe: says which parts of the backbone are trained, and how the banks score.

    Raises:
        RecipeError: the recipe fixes stages of a network that has none, or wants a projection wider than its embeddings.
    """

    def __init__(self, backbone: Backbone, classes: Sequence[int], recipe: Recipe) -> None:
        super().__init__()
        if recipe.projection is not None and recipe.projection > backbone.embedding_dim:
            raise RecipeError(f"projection is {recipe.projection}, and embeddings are only {backbone.embedding_dim} wide")
        self.backbone = backbone
        self.banks = ModuleList(
            ClassBank(
                count,
                backbone.embedding_dim,
                normalise=recipe.normalise,
                cosine_scale=recipe.cosine_scale,
                label_smoothing=recipe.label_smoothing,
            )
            for count in classes
        )
        self.rotation = Rotation(backbone.embedding_dim)
        self._temperature = recipe.distillation_temperature
        self._fixed_stages = recipe.fixed_stages
        if recipe.fixed_stages is not None:
            if not isinstance(backbone.network, EfficientNetLite):
                raise RecipeError(f"{recipe.network} has no stages that could be fixed; leave fixed_stages out")
            backbone.network.fix(recipe.fixed_stages)
        self.initial = copy.deepcopy(backbone).requires_grad_(False) if recipe.anchor_weight else None

    def load_initial(self, state: dict[str, Tensor]) -> None:
        """Gives the backbone its initial weights, and keeps them as the anchor.

        Raises:
            RuntimeError: they are of another network.
        """
        self.backbone.load_state_dict(state)
        if self.initial is not None:
            self.initial.load_state_dict(state)

    def train(self, mode: bool = True) -> Self:
        """Sets training mode. Batch normalisation stays in evaluation where the recipe fixes its statistics, and so does all
        of the anchor.
        """
        super().train(mode)
        if self._fixed_stages is not None:
            for module in self.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        if self.initial is not None:
            self.initial.eval()
        return self

    def forward(
        self, images_N3HW: Tensor, shares: Sequence[Share], turns_N: Tensor | None, teacher: Optional["Learner"] = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns embeddings (N, D), and the mean loss of each objective over its images.

        Args:
            images_N3HW: the images of all shares, one share after the other, in [0, 1].
            turns_N: by how many quarter turns each image was rotated; None leaves the rotation objective out.
            teacher: a trained learner of the same classes; adds distillation.

        Returns:
            Losses by name: `classes/<dataset>`, `distillation/<dataset>`, `rotation`, `anchor`.
        """
        embeddings_ND, initial_ND = self._embeddings(images_N3HW)
        soft_ND = teacher.embed(images_N3HW) if teacher else None
        with torch.autocast(images_N3HW.device.type, enabled=False):
            losses = self._losses(embeddings_ND, shares, turns_N, teacher, soft_ND)
            if initial_ND is not None:
                losses[ANCHOR] = anchor_distance(embeddings_ND, initial_ND)
            return embeddings_ND, losses

    def _embeddings(self, images_N3HW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns embeddings (N, D), and those by the initial network. Stages that both have in common are computed once."""
        if self._fixed_stages is None:
            embeddings_ND = self.backbone(images_N3HW).float()
            with torch.no_grad():
                return embeddings_ND, None if self.initial is None else self.initial(images_N3HW).float()
        network = cast("EfficientNetLite", self.backbone.network)
        with torch.no_grad():
            maps_NCHW = network.early(self.backbone.normalised(images_N3HW), self._fixed_stages)
            initial = None if self.initial is None else cast("EfficientNetLite", self.initial.network)
            initial_ND = None if initial is None else initial.late(maps_NCHW, self._fixed_stages).float()
        return network.late(maps_NCHW, self._fixed_stages).float(), initial_ND

    @torch.no_grad()
    def embed(self, images_N3HW: Tensor) -> Tensor:
        """Returns embeddings (N, D), without gradients."""
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
