"""The quality of a task, as far as its support set alone can tell.

Support set read -> shots of one thing found (`models.examples.bursts`) -> each example judged by heads fitted without them
-> suspects and duplicates -> what more examples would bring (`forecast`) -> one sentence of advice.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from models.arrays import Ints
from models.examples.suspects import suspects
from models.heads.head import Float32
from models.heads.leave_one_out import LeftOut, wanting
from models.heads.reliability import reliability
from models.labels import Label, as_sets, as_texts
from models.manifest import HeadOptions, Solver
from server.engine.backbone import ServedBackbone
from server.journeys.class_names import prior_at
from server.journeys.evaluations import accuracies, distance
from server.journeys.forecast import forecast_accuracy
from server.journeys.label_quality import assess_labels
from server.journeys.quality_parts import duplicates_in, first_of, is_one_session
from server.journeys.tally import Tally, judge_left_out
from server.schemas.quality import (
    ClassQuality,
    Confusion,
    Prior,
    Quality,
    QualityReply,
    ReliabilityBin,
    SuspectReply,
)
from server.service import Service
from server.store.records import Accuracy, TaskKey, Version


async def task_quality(service: Service, key: TaskKey) -> QualityReply:
    """Returns the quality of a task's active version.

    Raises:
        TaskNotFound: there is no such task.
        Unavailable: the server cannot do it now.
    """
    task = await service.pools.in_thread(service.store.tasks.get, key)
    async with service.backbones.use(task.version.backbone) as backbone:
        support = await service.pools.in_thread(service.store.examples.support, key, task.version.number)
        if task.version.lacks_images:
            return QualityReply(task=task.id, version=task.version.number, **dict(unjudged(task.version)))
        examples = (support.ids, support.file_names, support.labels, support.embeddings)
        found = await service.pools.in_fitter(assess, *examples, task.version.options, backbone)
    return QualityReply(task=task.id, version=task.version.number, **dict(found))


def assess(
    ids: Sequence[str],
    file_names: Sequence[str | None],
    labels: Sequence[Label],
    embeddings: Float32,
    options: HeadOptions,
    backbone: ServedBackbone,
) -> Quality:
    """Returns the quality of a head fitted with these options on n examples, (n, D) embeddings made by the backbone."""
    if (sets := as_sets(labels)) is not None:
        return assess_labels(ids, file_names, sets, embeddings, options, backbone)
    labels = as_texts(labels)
    manifest, space = backbone.bundle.manifest, backbone.space
    prior = prior_at(options, labels, backbone)
    verdict = judge_left_out(labels, embeddings, space, options, backbone.groups(labels, embeddings), prior)
    names, indices, left_out, of_all = verdict.names, verdict.labels, verdict.left_out, verdict.of_all
    classes, confusions = _classes(names, indices, verdict.of_classes), _confusions(names, indices, left_out)
    prototype = manifest.head.options("prototype")
    return Quality(
        method=left_out.method,
        judged=of_all.judged,
        groups=of_all.groups,
        accuracy=of_all.accuracy,
        interval=of_all.interval,
        classes=classes,
        one_session=[entry.label for entry in classes if is_one_session(entry)],
        confusions=confusions,
        prior=None if of_all.judged == len(labels) else _prior(backbone, options.solver, len(names), of_all.groups),
        advice=_advice(classes, confusions, left_out, indices),
        forecast=forecast_accuracy(verdict, embeddings, options, backbone, of_verdict=prior is not None),
        suspects=[
            SuspectReply(
                example=ids[suspect.example],
                label=labels[suspect.example],
                suggested=names[suspect.suggested],
                confidence=suspect.confidence,
                file_name=file_names[suspect.example],
            )
            for suspect in suspects(space.features(embeddings, prototype.centre), indices, len(names), prototype)
        ],
        duplicates=duplicates_in(ids, file_names, labels, indices, embeddings, backbone),
        reliability=[ReliabilityBin(**each._asdict()) for each in reliability(left_out, indices)],
    )


def unjudged(version: Version) -> Quality:
    """Returns the quality of a version with a class that has no image yet: nothing of it is judged."""
    lacking = [entry.label for entry in version.classes if not entry.examples]
    return Quality(
        method="leave-one-out",
        judged=0,
        groups=0,
        accuracy=None,
        interval=None,
        classes=[
            ClassQuality(label=entry.label, examples=entry.examples, **asdict(Tally(0, 0, 0, None, None)))
            for entry in version.classes
        ],
        one_session=[],
        confusions=[],
        prior=None,
        advice=f"Add an image of {first_of(lacking)}: until each class has one, the class names alone answer.",
        suspects=[],
        duplicates=[],
    )


def accuracy_of(quality: Quality | None) -> Accuracy | None:
    """Returns what a version keeps of its quality; None if nothing was judged."""
    if quality is None or quality.accuracy is None or quality.interval is None:
        return None
    return Accuracy(quality.accuracy, *quality.interval)


def _classes(names: Sequence[str], indices: Ints, of_classes: Sequence[Tally]) -> list[ClassQuality]:
    examples = np.bincount(indices).tolist()
    return [
        ClassQuality(label=name, examples=count, **asdict(found))
        for name, count, found in zip(names, examples, of_classes, strict=True)
    ]


def _confusions(names: Sequence[str], indices: Ints, left_out: LeftOut) -> list[Confusion]:
    verdicts = left_out.verdicts(indices)[left_out.judged]
    pairs = Counter(zip(indices[left_out.judged].tolist(), verdicts.tolist(), strict=True))
    return [
        Confusion(label=names[label], recognised_as=names[verdict], examples=count)
        for (label, verdict), count in pairs.most_common()
        if label != verdict
    ]


def _prior(backbone: ServedBackbone, solver: Solver, ways: int, examples: int) -> Prior | None:
    """Returns what the bundle's evaluations on novel classes found, at the way and shot nearest to the task's."""
    found = accuracies(backbone, solver)
    if not found:
        return None
    nearest = min(found, key=lambda each: (distance(each, ways, examples), each.ways, each.shots))
    shares = {each.dataset: share for each, share in found.items() if each[1:] == nearest[1:]}
    return Prior(
        accuracy=float(np.mean([*shares.values()])),
        lowest=min(shares.values()),
        highest=max(shares.values()),
        ways=nearest.ways,
        shots=nearest.shots,
        datasets=sorted(shares),
    )


def _advice(classes: Sequence[ClassQuality], confusions: Sequence[Confusion], left_out: LeftOut, indices: Ints) -> str:
    """Returns a sentence that names the class that gains most from more images."""
    alone = [entry.label for entry in classes if entry.examples == 1]
    if alone:
        return f"Add an image of {first_of(alone)}: leave-one-out cannot judge a class with one image."
    if of_one_session := [entry.label for entry in classes if is_one_session(entry)]:
        return (
            f"Add images of {first_of(of_one_session)} from another time and place: those there are look like one session, so "
            "that none tells how others would be recognised."
        )
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
