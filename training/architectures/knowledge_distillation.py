"""Knowledge distillation for multi-task learning (Li & Bilen, ECCV Workshops 2020, arXiv:2007.06889, section 3).

Each task has a teacher, a network of its own. The shared trunk's features, through a linear adaptor A_t of the task, are drawn to
the teacher's, both of unit length (equation 3):

    L_t + λ ‖A_t f(x) / ‖A_t f(x)‖ − f_t(x) / ‖f_t(x)‖‖².

PAD-Net (Xu et al., CVPR 2018) distils between the tasks' predictions of the same image, so it needs tasks on one set of images.
Here a task has images of its own, and teachers need no others. The paper trains the teachers beforehand. Here they learn in the
same steps, so that one budget and one schedule hold for both; no gradient of the distance reaches them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.architectures.independent import Independent
from training.architectures.shared_trunk import SharedTrunk
from training.architectures.sharing import Architecture, Setting, task_losses


class KnowledgeDistillation(SharedTrunk):
    """The shared trunk, with teachers and adaptors that use leaves behind.

    Args:
        strength: λ; the authors' code (VICO-UoE/KD4MTL on GitHub) has 1 for segmentation and depth, and 2 for normals.
    """

    def __init__(self, setting: Setting, strength: float = 1.0) -> None:
        super().__init__(setting)
        self.strength = strength
        self.teachers = Independent(setting)
        self.adaptors = nn.Parameter(torch.eye(setting.dim).repeat(setting.tasks, 1, 1))

    def losses(self, images_Tn3HW: Tensor, labels_Tn: Tensor) -> Tensor:
        """Returns each task's loss, (T,): the student's, its distance from the teacher, and the teacher's own."""
        student_TnD, teacher_TnD = self.features(images_Tn3HW), self.teachers.features(images_Tn3HW)
        return (
            task_losses(self.heads(student_TnD), labels_Tn)
            + self.strength * self.distances(student_TnD, teacher_TnD.detach())
            + task_losses(self.teachers.heads(teacher_TnD), labels_Tn)
        )

    def distances(self, student_TnD: Tensor, teacher_TnD: Tensor) -> Tensor:
        """Returns the mean squared distance of adapted from teachers' features, both of unit length, (T,)."""
        adapted_TnD = functional.normalize(student_TnD @ self.adaptors, dim=2)
        return (adapted_TnD - functional.normalize(teacher_TnD, dim=2)).square().sum(dim=2).mean(dim=1)


ARCHITECTURE = Architecture("knowledge-distillation", "Li & Bilen, ECCV Workshops 2020", KnowledgeDistillation)
