"""How good a task is, as far as its support set alone can tell.

Support set read -> each example judged by heads fitted without it -> suspects and duplicates -> one sentence of advice.
"""

import math
from collections import Counter
from collections.abc import Sequence

from models.fitting import classes_of
from models.heads import Float32
from models.leave_one_out import Ints, LeftOut, leave_one_out, wanting
from models.manifest import Evaluation, HeadOptions, Solver
from models.suspects import duplicates, suspects
from server.intervals import wilson
from server.schemas.quality import ClassQuality, Confusion, DuplicateReply, Prior, Quality, QualityReply, SuspectReply
from server.served import ServedBackbone
from server.service import Service


async def task_quality(service: Service, tenant: str, task_id: str) -> QualityReply:
    """The quality of a task's active version.

    Raises:
        TaskNotFound: there is no such task.
        Unavailable: the server cannot do it now.
    """
    task = await service.in_thread(service.store.task, tenant, task_id)
    backbone = await service.backbones.serving(task.version.backbone)
    support = await service.in_thread(service.store.support, tenant, task_id, task.version.number)
    found = await service.in_fitter(assess, support.ids, support.labels, support.embeddings, task.version.options, backbone)
    return QualityReply(task=task.id, version=task.version.number, **dict(found))


def assess(
    ids: Sequence[str], labels: Sequence[str], embeddings: Float32, options: HeadOptions, backbone: ServedBackbone
) -> Quality:
    """The quality of a head fitted with these options on n examples, (n, D) embeddings made by the backbone."""
    names, indices = classes_of(labels)
    manifest, space = backbone.bundle.manifest, backbone.space
    left_out = leave_one_out(space.features(embeddings, options.centre), indices, len(names), options)
    classes, confusions = _classes(names, indices, left_out), _confusions(names, indices, left_out)
    right, judged = sum(entry.recognised for entry in classes), sum(entry.judged for entry in classes)
    prototype = manifest.head.options("prototype")
    return Quality(
        method=left_out.method,
        judged=judged,
        accuracy=right / judged if judged else None,
        interval=wilson(right, judged),
        classes=classes,
        confusions=confusions,
        prior=None
        if judged == len(labels)
        else nearest_evaluation(manifest.evaluations, options.solver, len(names), len(labels)),
        advice=_advice(classes, confusions, left_out, indices),
        suspects=[
            SuspectReply(
                example=ids[suspect.example],
                label=labels[suspect.example],
                suggested=names[suspect.suggested],
                confidence=suspect.confidence,
            )
            for suspect in suspects(space.features(embeddings, prototype.centre), indices, len(names), prototype)
        ],
        duplicates=[
            DuplicateReply(
                example=ids[found.example],
                label=labels[found.example],
                of=ids[found.of],
                of_label=labels[found.of],
                similarity=found.similarity,
            )
            for found in duplicates(space.features(embeddings, centre=False), indices, backbone.duplicate_similarity)
        ],
    )


def _classes(names: Sequence[str], indices: Ints, left_out: LeftOut) -> list[ClassQuality]:
    verdicts = left_out.probabilities.argmax(axis=1)
    found = []
    for k, name in enumerate(names):
        among = (indices == k) & left_out.judged
        judged, right = int(among.sum()), int((verdicts[among] == k).sum())
        found.append(
            ClassQuality(
                label=name,
                examples=int((indices == k).sum()),
                judged=judged,
                recognised=right,
                accuracy=right / judged if judged else None,
                interval=wilson(right, judged),
            )
        )
    return found


def _confusions(names: Sequence[str], indices: Ints, left_out: LeftOut) -> list[Confusion]:
    verdicts = left_out.probabilities[left_out.judged].argmax(axis=1)
    pairs = Counter(zip(indices[left_out.judged].tolist(), verdicts.tolist(), strict=True))
    return [
        Confusion(label=names[label], recognised_as=names[verdict], examples=count)
        for (label, verdict), count in pairs.most_common()
        if label != verdict
    ]


def nearest_evaluation(evaluations: Sequence[Evaluation], solver: Solver, ways: int, examples: int) -> Prior | None:
    """What the bundle's evaluation on novel classes found, at the way and shot nearest to the task's."""

    def distance(evaluation: Evaluation) -> float:
        return abs(math.log(evaluation.ways / ways)) + abs(math.log(evaluation.shots / (examples / ways)))

    tests = [evaluation for evaluation in evaluations if evaluation.part == "test" and evaluation.solver == solver]
    if not tests:
        return None
    nearest = min(tests, key=distance)
    return Prior(
        accuracy=nearest.accuracy,
        ci95=nearest.ci95,
        ways=nearest.ways,
        shots=nearest.shots,
        dataset=nearest.dataset,
    )


def _advice(classes: Sequence[ClassQuality], confusions: Sequence[Confusion], left_out: LeftOut, indices: Ints) -> str:
    """Which class gains most from more images."""
    alone = [entry.label for entry in classes if not entry.judged]
    if alone:
        others = f" and of {len(alone) - 1} more" if len(alone) > 1 else ""
        return f"Add an image of {alone[0]!r}{others}: leave-one-out cannot judge a class with one image."
    k = int(wanting(left_out, indices).argmax())
    found, sure = classes[k], left_out.probabilities[indices == k, k].mean()
    name, size, missed = repr(found.label), found.examples, found.judged - found.recognised
    if not confusions:
        return f"Every example was recognised; more images of {name}, the least sure of its {size}, would help most."
    taken = sum(confusion.examples for confusion in confusions if confusion.recognised_as == found.label)
    return (
        f"More images of {name} would help most: left out, its {size} got {sure:.0%} on average; {missed} were taken for another "
        f"class, and {taken} of others for it."
    )
