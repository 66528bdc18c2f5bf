"""The network and its training heads: from a batch of images to the loss of each objective."""

import copy
from collections.abc import Sequence
from typing import NamedTuple, Optional, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import ModuleList

from models.backbones import Backbone, EfficientNetLite, ResNet12
from training.objectives import TURNS, ClassBank, Invariance, Mix, Rotation, anchor_distance, distillation, draw_mix
from training.run.recipes import Recipe, RecipeError

CLASSES = "classes"
ROTATION = "rotation"
DISTILLATION = "distillation"
ANCHOR = "anchor"
INVARIANCE = "invariance"


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


class _Targets(NamedTuple):
    """The targets of N images: labels, turns, and embeddings by teacher and anchor."""

    shares: Sequence[Share]
    turns_N: Tensor | None
    soft_ND: Tensor | None
    initial_ND: Tensor | None

    def of_partners(self, partners_N: Tensor) -> "_Targets":
        """Returns the targets of each image's partner, which is of the same share."""
        shares, start = [], 0
        for share in self.shares:
            own = partners_N[start : start + len(share.labels_n)] - start
            shares.append(share._replace(labels_n=share.labels_n[own]))
            start += len(share.labels_n)
        turns_N, soft_ND, initial_ND = (None if part is None else part[partners_N] for part in self[1:])
        return _Targets(shares, turns_N, soft_ND, initial_ND)


class Learner(nn.Module):
    """A backbone, a class bank per dataset and a rotation head. Where the recipe has them, also a projection for invariance, and
    the initial backbone as an anchor.

    Args:
        classes: the number of base classes of each dataset.
        recipe: says which parts of the backbone are trained, and how the banks score.

    Raises:
        RecipeError: the recipe fixes stages of a network that has none, wants a projection wider than its embeddings, or has an
            objective without what that needs.
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
        _refuse_contradictions(recipe, backbone)
        self.invariance = Invariance(backbone.embedding_dim) if recipe.invariance_weight else None
        self._mixup = recipe.mixup
        self._temperature = recipe.distillation_temperature
        self._fixed_stages = recipe.fixed_stages
        self._fixed_statistics = recipe.fixed_statistics or recipe.fixed_stages is not None
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
        if self._fixed_statistics:
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
            Losses by name: `classes/<dataset>`, `distillation/<dataset>`, `rotation`, `invariance`, `anchor`.
        """
        mix = self._draw_mix(shares, images_N3HW.device) if self.training and self._mixup else None
        embeddings_ND, initial_ND = self._embeddings(images_N3HW, mix)
        soft_ND = teacher.embed(images_N3HW) if teacher else None
        targets = _Targets(shares, turns_N, soft_ND, initial_ND)
        with torch.autocast(images_N3HW.device.type, enabled=False):
            losses = self._losses(embeddings_ND, targets, teacher)
            if mix:
                losses = mix.losses(losses, self._losses(embeddings_ND, targets.of_partners(mix.partners_N), teacher))
            return embeddings_ND, losses

    def _embeddings(self, images_N3HW: Tensor, mix: Mix | None) -> tuple[Tensor, Tensor | None]:
        """Returns embeddings (N, D), and those by the initial network. Stages that both have in common are computed once."""
        if self._fixed_stages is None:
            embeddings_ND = (self.backbone(images_N3HW) if mix is None else self._mixed(images_N3HW, mix)).float()
            with torch.no_grad():
                return embeddings_ND, None if self.initial is None else self.initial(images_N3HW).float()
        network = cast("EfficientNetLite", self.backbone.network)
        with torch.no_grad():
            maps_NCHW = network.early(self.backbone.normalised(images_N3HW), self._fixed_stages)
            initial = None if self.initial is None else cast("EfficientNetLite", self.initial.network)
            initial_ND = None if initial is None else initial.late(maps_NCHW, self._fixed_stages).float()
        return network.late(maps_NCHW, self._fixed_stages).float(), initial_ND

    def _draw_mix(self, shares: Sequence[Share], device: torch.device) -> Mix:
        blocks = len(cast("ResNet12", self.backbone.network).blocks)
        return draw_mix([len(share.labels_n) for share in shares], blocks, self._mixup, device)

    def _mixed(self, images_N3HW: Tensor, mix: Mix) -> Tensor:
        network = cast("ResNet12", self.backbone.network)
        maps_NCHW = network.early(self.backbone.normalised(images_N3HW), mix.block)
        return network.late(mix.maps(maps_NCHW), mix.block)

    @torch.no_grad()
    def embed(self, images_N3HW: Tensor) -> Tensor:
        """Returns embeddings (N, D), without gradients."""
        embeddings: Tensor = self.backbone.forward(images_N3HW)  # not the compiled call: batches here have any size
        return embeddings.float()

    def _losses(self, embeddings_ND: Tensor, targets: _Targets, teacher: Optional["Learner"]) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        start, versions = 0, []
        for share in targets.shares:
            own = slice(start, start := start + len(share.labels_n))
            bank = cast("ClassBank", self.banks[share.dataset])
            losses[f"{CLASSES}/{share.dataset}"] = bank(embeddings_ND[own], share.labels_n, share.tasks_TK)
            if teacher is not None and targets.soft_ND is not None:
                student_nK = bank.logits(embeddings_ND[own], share.tasks_TK)
                taught = cast("ClassBank", teacher.banks[share.dataset])
                teacher_nK = taught.logits(targets.soft_ND[own], share.tasks_TK)
                losses[f"{DISTILLATION}/{share.dataset}"] = distillation(student_nK, teacher_nK, self._temperature)
            if self.invariance is not None:
                versions.append(embeddings_ND[own].view(TURNS, -1, embeddings_ND.shape[1]))
        if targets.turns_N is not None:
            losses[ROTATION] = self.rotation(embeddings_ND, targets.turns_N)
        if self.invariance is not None:
            losses[INVARIANCE] = self.invariance(torch.cat(versions, dim=1))
        if targets.initial_ND is not None:
            losses[ANCHOR] = anchor_distance(embeddings_ND, targets.initial_ND)
        return losses


def _refuse_contradictions(recipe: Recipe, backbone: Backbone) -> None:
    if recipe.invariance_weight and recipe.rotation != "all":
        raise RecipeError(f"invariance compares every rotation of an image; rotation is {recipe.rotation}, not all")
    if not recipe.mixup:
        return
    if not isinstance(backbone.network, ResNet12):
        raise RecipeError(f"{recipe.network} has no blocks that mixup knows; leave mixup out")
    if recipe.ways:
        raise RecipeError("mixup is for joint training, and the recipe trains on tasks; leave out mixup or ways")
    if recipe.invariance_weight:
        raise RecipeError("a mixture has no other version to compare it with; leave out mixup or invariance_weight")
