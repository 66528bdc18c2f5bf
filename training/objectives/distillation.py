"""Distillation: the student's class probabilities drawn towards a teacher's (Hinton et al., arXiv:1503.02531, section 2).

A teacher of the same architecture, trained the same way one generation before, makes a better few-shot backbone
(born-again networks: Tian et al., ECCV 2020, arXiv:2003.11539, section 3.3).
"""

from torch import Tensor
from torch.nn import functional


def distillation(student_NK: Tensor, teacher_NK: Tensor, temperature: float) -> Tensor:
    """Returns T² times the mean Kullback-Leibler divergence of the softened student from the softened teacher.

    T² keeps the gradient's size independent of the temperature.
    """
    student = functional.log_softmax(student_NK / temperature, dim=1)
    teacher = functional.log_softmax(teacher_NK / temperature, dim=1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2
