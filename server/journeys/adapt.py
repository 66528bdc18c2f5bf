"""The support journey: labelled images in, a task with a fitted, stored and active head out.

Images of none of the classes go the same way, past the head and its quality.

Checked -> embedded (`embed`) -> head fitted -> judged (`quality`) -> stored in one transaction -> active.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.arrays import Array, on_host
from models.heads.head import Float32, Head
from models.images.preprocess import media_type
from models.labels import Label
from server.audit import making
from server.engine.backbone import ServedBackbone
from server.errors import Conflict, ExampleNotFound, TooFewClasses, UnreadableImage
from server.ids import new_id
from server.journeys.class_names import fit_with_names, lacking_images, names_of, weighed
from server.journeys.embed import embed_images, image_error
from server.journeys.head_options import chosen, chosen_again
from server.journeys.placing import placed
from server.journeys.quality import accuracy_of, assess
from server.journeys.quotas import check_room
from server.journeys.replay import with_said
from server.journeys.retry import KEEPS_CHANGING, retry_on_conflict
from server.journeys.support_set import LabelledImage, check_mode, check_request, check_support_set, spelt_as_before
from server.metrics import Stopwatch
from server.rates import charged
from server.schemas.from_records import changed_task_reply
from server.schemas.quality import Quality
from server.schemas.replies import ChangedTaskReply
from server.schemas.requests import TaskOptions
from server.service import Service
from server.store.records import Asked, CaptureSetting, Change, FittedOptions, LabelMode, NewExample, Task, TaskKey
from server.store.support_records import Support

_MAX_JUDGED = 100


async def create_task(
    service: Service,
    tenant: str,
    name: str | None,
    options: TaskOptions,
    examples: Sequence[LabelledImage],
    asked: Asked | None,
    capture: CaptureSetting | None = None,
    mode: LabelMode = "single",
    named: Sequence[str] = (),
) -> ChangedTaskReply:
    """Makes a task of a support set, of names of classes, or of both.

    Args:
        capture: which of its predictions are captured; None if nobody said.
        mode: whether an image has one label or any number.
        named: classes that need no image, where the backbone reads text.

    Raises:
        Invalid, TooLarge: the support set breaks a rule, or an image cannot be read.
        QuotaExceeded, StoredQuotaExceeded: the caller may not bring, or the tenant store, as much.
        Unavailable: the server cannot do it now.
        ReplayExists: the request was answered meanwhile under its idempotency key.
    """
    watch = Stopwatch(service.metrics)
    if examples or not named:
        check_request(examples, service.settings)
    given = [example.label for example in examples]
    check_mode(given, mode)
    check_support_set(given, service.settings, named)
    await check_room(service, tenant, [example.image for example in examples], tasks=1)

    with service.backbones.use_default() as backbone:  # Once the task is stored, it is what keeps the backbone open.
        with charged(len(examples) + len(lacking_images(named, given, backbone, mode))):
            made = await _embed(service, backbone, examples, watch) if examples else backbone.no_embeddings
        of_all = await service.pools.in_thread(on_host, made)
        new = await service.pools.in_thread(_new_examples, examples, of_all, service.settings.keep_images)
        with watch.stage("fit"):
            ids, names, labels, embeddings = _taught(new)
            fitted = made if len(ids) == len(new) else embeddings
            wanted = await service.pools.in_fitter(chosen, backbone.bundle, options, labels, embeddings, named)
            wanted = await service.pools.in_fitter(weighed, wanted, labels, embeddings, backbone)
            head = await service.pools.in_fitter(fit_with_names, fitted, labels, wanted, backbone)
            quality = await _assess(service, backbone, ids, names, labels, embeddings, wanted)

        key = TaskKey(tenant, new_id("task"))
        making(f"tasks/{key.id}")
        with watch.stage("store"):
            async with placed(service, key, new) as stored:
                kept = with_said(asked, quality, watch.milliseconds())
                task = await service.pools.in_writer(
                    service.store.tasks.create, key, name or key.id, stored, head, kept, accuracy_of(quality), capture, mode
                )
    service.heads.keep(task.key, task.version.number, head)
    return changed_task_reply(task, quality, watch.milliseconds())


async def add_examples(
    service: Service, key: TaskKey, examples: Sequence[LabelledImage], asked: Asked | None
) -> ChangedTaskReply:
    """Adds examples to a task's active support set, as a new, active version.

    Raises:
        TaskNotFound: there is no such task.
        Conflict: others kept changing the task at the same time.
        Invalid, TooLarge, QuotaExceeded, StoredQuotaExceeded, Unavailable, ReplayExists: as in `create_task`.
    """
    watch = Stopwatch(service.metrics)
    check_request(examples, service.settings)
    task = await service.pools.in_thread(service.store.tasks.get, key)
    check_mode([example.label for example in examples], task.labels)
    await check_room(service, key.tenant, [example.image for example in examples])
    spelt = spelt_as_before([example.label for example in examples], {entry.label for entry in task.version.classes})
    examples = [replace(example, label=label) for example, label in zip(examples, spelt, strict=True)]
    async with service.backbones.use(task.version.backbone) as backbone:
        with charged(len(examples)):
            embeddings = await service.pools.in_thread(on_host, await _embed(service, backbone, examples, watch))
    new = await service.pools.in_thread(_new_examples, examples, embeddings, service.settings.keep_images)
    return await _new_version(service, task, new, None, watch, asked)


async def remove_example(service: Service, key: TaskKey, example_id: str) -> ChangedTaskReply:
    """Removes an example from a task's active support set, as a new, active version.

    Raises:
        TaskNotFound, ExampleNotFound: there is no such task, or its active version has no such example.
        TooFewClasses: fewer than two classes would be left.
        Conflict: others kept changing the task at the same time.
        Unavailable: the server cannot do it now.
    """
    watch = Stopwatch(service.metrics)
    task = await service.pools.in_thread(service.store.tasks.get, key)
    return await _new_version(service, task, [], example_id, watch, None)


async def _new_version(
    service: Service,
    task: Task,
    added: Sequence[NewExample],
    removed: str | None,
    watch: Stopwatch,
    asked: Asked | None,
) -> ChangedTaskReply:
    """Fits the changed support set and stores it, after the changes that came before; starts again from the newer version where
    one that waits for nobody, such as a rollback, was faster."""
    change: Change = "removed" if removed else "added"
    key, embedded_by = task.key, task.version.backbone

    async def attempt() -> ChangedTaskReply:
        parent = await service.pools.in_thread(service.store.tasks.get, key)
        if parent.version.backbone != embedded_by:
            raise Conflict(KEEPS_CHANGING)
        head, quality = await refit(service, parent, added, removed, watch)
        with watch.stage("store"):
            gone = [removed] if removed else []
            kept = with_said(asked, quality, watch.milliseconds())
            changed = await service.pools.in_writer(
                service.store.tasks.add_version,
                key,
                parent.version.number,
                change,
                stored,
                gone,
                head,
                kept,
                accuracy_of(quality),
            )
        service.heads.keep(key, changed.version.number, head)
        return changed_task_reply(changed, quality, watch.milliseconds())

    async with placed(service, key, added) as stored, service.changing(key):
        return await retry_on_conflict(attempt)


async def refit(
    service: Service, task: Task, added: Sequence[NewExample], removed: str | None, watch: Stopwatch
) -> tuple[Head, Quality | None]:
    """Returns a head for the active support set with `added` and without `removed`, and how good it is.

    Raises:
        TaskNotFound, VersionNotFound: the version was removed meanwhile.
        ExampleNotFound: it has no example `removed`.
        TooFewClasses, LimitExceeded: such a support set breaks a rule.
        Unavailable: the server cannot do it now.
    """
    async with service.backbones.use(task.version.backbone) as backbone:
        if task.version.lacks_images:
            backbone.reader()  # Without it, the classes without images would be lost.
        support = await service.pools.in_thread(service.store.examples.support, task.key, task.version.number)
        ids, names, labels, embeddings = _changed(support, added, removed, len(backbone.space.mean))
        negatives = len(support.negatives.ids) - (removed in support.negatives.ids)
        without = negatives + sum(example.label is None for example in added)
        try:
            check_support_set([*labels, *without * [None]], service.settings, names_of(task.version.options, backbone))
        except TooFewClasses as error:
            hint = "" if added else "; to be rid of the example, delete the task"
            raise TooFewClasses(f"{error.detail}{hint}") from None
        with watch.stage("fit"):
            bundle, before = backbone.bundle, task.version.options
            options = await service.pools.in_fitter(chosen_again, before, bundle.manifest.head, bundle, labels, embeddings)
            options = await service.pools.in_fitter(weighed, options, labels, embeddings, backbone, task.version)
            head = await service.pools.in_fitter(fit_with_names, embeddings, labels, options, backbone)
            return head, await _assess(service, backbone, ids, names, labels, embeddings, options)


async def _embed(service: Service, backbone: ServedBackbone, examples: Sequence[LabelledImage], watch: Stopwatch) -> Array:
    """Embeddings of every example; a broken image refuses the whole set, since a head without it would not be what was asked."""
    embedded = await embed_images(service, backbone, [example.image for example in examples], watch)
    unreadable = [(position, error) for position, error in enumerate(embedded.errors) if error is not None]
    if unreadable:
        position, first = unreadable[0]
        refused = image_error(first, examples[position].place(position, len(examples)))
        refused.images = [UnreadableImage(at, error.code, error.detail, examples[at].name) for at, error in unreadable]
        raise refused
    return embedded.embeddings


async def _assess(
    service: Service,
    backbone: ServedBackbone,
    ids: Sequence[str],
    file_names: Sequence[str | None],
    labels: Sequence[Label],
    embeddings: Float32,
    options: FittedOptions,
) -> Quality | None:
    """Returns the quality of a small task; a large one's takes longer than all else, and is left to who asks for it.

    So is that of a task with a class that has no image.
    """
    if len(ids) > _MAX_JUDGED or not set(names_of(options, backbone)) <= set(labels):
        return None
    return await service.pools.in_fitter(assess, ids, file_names, labels, embeddings, options, backbone)


def _changed(
    support: Support, added: Sequence[NewExample], removed: str | None, width: int
) -> tuple[list[str], list[str | None], list[Label], Float32]:
    """Ids, files' names, labels and embeddings, `width` wide, of the examples with a class, after a change."""
    if removed is not None and removed not in support.embedded:
        raise ExampleNotFound(removed)
    stays = [i for i, example in enumerate(support.ids) if example != removed]
    ids, names, labels, embeddings = _taught(added)
    return (
        [support.ids[i] for i in stays] + ids,
        [support.file_names[i] for i in stays] + names,
        [support.labels[i] for i in stays] + labels,
        np.concatenate([support.embeddings[stays].reshape(len(stays), width), embeddings.reshape(len(ids), width)]),
    )


def _taught(new: Sequence[NewExample]) -> tuple[list[str], list[str | None], list[Label], Float32]:
    """Ids, files' names, labels and embeddings (n, D) of those that have a class."""
    known = [(example, example.label) for example in new if example.label is not None]
    ids, names = [example.id for example, _ in known], [example.file_name for example, _ in known]
    return ids, names, [label for _, label in known], np.array([example.embedding for example, _ in known], np.float32)


def _new_examples(examples: Sequence[LabelledImage], embeddings: Float32, keep_images: bool) -> list[NewExample]:
    return [
        NewExample(
            id=new_id("example"),
            label=example.label,
            image=example.image if keep_images else None,
            size=len(example.image),
            media_type=media_type(example.image),
            sha256=hashlib.sha256(example.image).hexdigest() if keep_images else None,
            embedding=embedding,
            file_name=example.name if keep_images else None,
        )
        for example, embedding in zip(examples, embeddings, strict=True)
    ]
