"""The journey of a comparison: other solvers, options and backbones tried on a task's own examples, and nothing published.

Active version read -> judged as it is -> each backbone asked for opened -> support set embedded by it (`reembed`)
-> its candidates judged -> all side by side, with one sentence of advice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

from models.arrays import Ints
from models.bundle import Bundle
from models.heads.head import Float32
from models.labels import Label
from models.manifest import Solver
from server.engine.backbone import ServedBackbone
from server.errors import (
    BackboneNotFound,
    BackboneNotOpen,
    Conflict,
    EngineFailed,
    ExampleNotFound,
    HeadstartError,
    ImageBroken,
    ImageNotKept,
    ImageTooLarge,
    ImageUnsupported,
    InvalidBundle,
    InvalidRequest,
    NotForSeveralLabels,
    Overloaded,
    QuotaExceeded,
    VersionNotFound,
)
from server.journeys.class_names import prior_at, weighed
from server.journeys.head_options import chosen, chosen_instead
from server.journeys.reembed import support_on
from server.journeys.trials import Trial, advice, best_of, run_trial
from server.metrics import Stopwatch
from server.schemas.comparison import CandidateReply, ComparisonReply, Difference, FailedCandidate
from server.schemas.from_records import head_reply
from server.schemas.predictions import ProblemInPlace
from server.schemas.requests import Candidate, TaskOptions
from server.service import Service
from server.store.records import FittedOptions, Task, TaskKey
from server.store.support_records import Support

# What is the matter with one backbone, or with what it can be shown, and not with the others.
_OF_ONE_BACKBONE = (
    BackboneNotFound,
    BackboneNotOpen,
    InvalidBundle,
    Overloaded,
    QuotaExceeded,
    ImageNotKept,
    ImageBroken,
    ImageUnsupported,
    ImageTooLarge,
    EngineFailed,
)


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to fit the task's head.

    Attributes:
        backbone: name@version; None for the one that the active version uses.
        options_on: what the options are on a bundle, of examples with these labels and embeddings.
    """

    backbone: str | None
    options_on: Callable[[Bundle, Sequence[Label], Float32], FittedOptions]


@dataclass(frozen=True, slots=True, eq=False)
class _Now:
    """The active version as it is, and whether bundles may be opened to try others."""

    task: Task
    backbone: ServedBackbone
    support: Support
    may_open: bool


async def compare(service: Service, key: TaskKey, asked: Sequence[Candidate] | None, *, may_open: bool = True) -> ComparisonReply:
    """Candidates beside a task's active version, each judged on its examples by heads fitted without them.

    Args:
        asked: None for the usual ones (`_usual`).
        may_open: whether a candidate may have a bundle opened that neither new tasks nor tasks of the tenant would open.

    Raises:
        TaskNotFound: there is no such task.
        NotForSeveralLabels: an image of it may have several labels.
        InvalidRequest: a class of it has no image.
        Conflict: what it needs of the task was removed meanwhile.
        BackboneNotFound, BackboneNotOpen, InvalidBundle, ImageNotKept, ImageBroken, ImageUnsupported, ImageTooLarge,
            QuotaExceeded: the only candidate cannot be tried.
        Unavailable: the server cannot do it now.
    """
    watch = Stopwatch(service.metrics)
    try:
        now = await _now(service, key, may_open)
        ways = await _usual(service, now) if asked is None else [_way(now, candidate) for candidate in asked]
        with watch.stage("fit"):
            # The same on every backbone: what the task's own takes for shots of one thing.
            groups = await service.pools.in_fitter(now.backbone.groups, now.support.labels, now.support.embeddings)
            current = await service.pools.in_fitter(_trial, now.support, now.task.version.options, now.backbone, groups)
        tried = await _try(service, now, groups, ways, watch)
    except (VersionNotFound, ExampleNotFound):
        raise Conflict("the task was changed while its candidates were tried; try again") from None
    if len(tried) == 1 and isinstance(tried[0], HeadstartError):
        raise tried[0]
    shown = [
        _failed(way.backbone or current.backbone, outcome) if isinstance(outcome, HeadstartError) else _shown(outcome, current)
        for way, outcome in zip(ways, tried, strict=True)
    ]
    usable = {number: trial for number, trial in enumerate(tried, 1) if isinstance(trial, Trial)}
    return ComparisonReply(
        task=now.task.id,
        version=now.task.version.number,
        candidates=[_shown(current, current), *shown],
        best=best_of(current, usable),
        advice=advice(current, usable),
        timing_ms=watch.milliseconds(),
    )


async def _now(service: Service, key: TaskKey, may_open: bool) -> _Now:
    task = await service.pools.in_thread(service.store.tasks.get, key)
    if task.labels == "multiple":
        raise NotForSeveralLabels("comparisons")
    if task.version.lacks_images:
        raise InvalidRequest("a class has no image yet, so that nothing can be compared; send one of each class first")
    async with service.backbones.use(task.version.backbone) as backbone:
        support = await service.pools.in_thread(service.store.examples.support, task.key, task.version.number)
        return _Now(task, backbone, support, may_open)


def _way(now: _Now, candidate: Candidate) -> _Way:
    before, was = now.task.version.options, now.backbone.bundle.manifest.head
    return _Way(candidate.backbone, partial(chosen_instead, before, candidate.options, was))


async def _usual(service: Service, now: _Now) -> list[_Way]:
    """The solvers as the task's backbone has them by default, and the active version's options on the backbone that new tasks
    get and on the others that are open; all but what the active version is.
    """
    before, own, default = now.task.version.options, now.backbone, service.backbones.served_default
    solvers = []
    for solver in get_args(Solver):
        way = _Way(None, partial(_of_solver, solver, before.named))
        options = await service.pools.in_fitter(way.options_on, own.bundle, now.support.labels, now.support.embeddings)
        if not before.alike(options):
            solvers.append(way)
    described = await service.backbones.describe()
    default_id = service.backbones.default_id
    backbones = [id_ for id_, found in described.items() if found.engines and id_ not in {own.bundle.id, default_id}]
    if default and default.space.backbone != own.space.backbone:
        backbones.insert(0, default_id)
    return [
        *solvers,
        *(_way(now, Candidate(backbone=id_)) for id_ in backbones),
    ]


def _of_solver(
    solver: Solver, named: Sequence[str], bundle: Bundle, labels: Sequence[Label], embeddings: Float32
) -> FittedOptions:
    return chosen(bundle, TaskOptions(solver=solver), labels, embeddings, named)


async def _try(service: Service, now: _Now, groups: Ints, ways: Sequence[_Way], watch: Stopwatch) -> list[Trial | HeadstartError]:
    """Returns the outcome of each way, or why it cannot be tried. One backbone's embeddings are in memory at a time."""
    tried: dict[int, Trial | HeadstartError] = {}
    for id_ in dict.fromkeys(way.backbone for way in ways):
        of_it = {position: way for position, way in enumerate(ways) if way.backbone == id_}
        try:
            with watch.stage("embed"):
                backbone, support = await _seen_by(service, now, id_)
        except _OF_ONE_BACKBONE as error:
            tried |= dict.fromkeys(of_it, error)
            continue
        for position, way in of_it.items():
            with watch.stage("fit"):
                options = await service.pools.in_fitter(way.options_on, backbone.bundle, support.labels, support.embeddings)
                options = await service.pools.in_fitter(weighed, options, support.labels, support.embeddings, backbone)
                tried[position] = await service.pools.in_fitter(_trial, support, options, backbone, groups)
    return [tried[position] for position in range(len(ways))]


def _trial(support: Support, options: FittedOptions, backbone: ServedBackbone, groups: Ints) -> Trial:
    return run_trial(support, options, backbone.space, groups, prior_at(options, support.labels, backbone))


async def _seen_by(service: Service, now: _Now, id_: str | None) -> tuple[ServedBackbone, Support]:
    """Returns the support set as a backbone embeds it. A bundle that is named is run from the file that new tasks would get."""
    if id_ is None:
        return now.backbone, now.support
    if not now.may_open:
        await _check_in_use(service, now.task.key.tenant, id_)
    async with service.backbones.use_bundle(id_) as backbone:
        return backbone, await support_on(service, now.task.key, now.task.version.number, backbone, negatives=False)


async def _check_in_use(service: Service, tenant: str, id_: str) -> None:
    """Raises BackboneNotOpen if a bundle is not open, and neither new tasks nor tasks of the tenant open it."""
    found = (await service.backbones.describe(tenant)).get(id_)
    if found and not (found.engines or found.default or found.active_tasks):
        raise BackboneNotOpen(f"backbone {id_} is not open; a key that has the scope manage opens it when it compares")


def _shown(trial: Trial, current: Trial) -> CandidateReply:
    return CandidateReply(
        current=trial is current,
        backbone=trial.backbone,
        head=head_reply(trial.options),
        method=trial.method,
        judged=trial.judged,
        recognised=trial.recognised,
        accuracy=trial.tally.accuracy,
        interval=trial.tally.interval,
        log_loss=trial.log_loss,
        difference=None if trial is current else _difference(trial, current),
        milliseconds=trial.milliseconds,
    )


def _difference(trial: Trial, current: Trial) -> Difference | None:
    interval = trial.accuracy_difference(current)
    if interval is None:
        return None
    return Difference(
        accuracy=trial.accuracy_gained(current),
        interval=interval,
        gained=trial.gained(current),
        lost=current.gained(trial),
        log_loss=float((trial.losses - current.losses).mean()),
        log_loss_interval=trial.loss_difference(current),
    )


def _failed(backbone: str, error: HeadstartError) -> FailedCandidate:
    return FailedCandidate(backbone=backbone, error=ProblemInPlace(code=error.code, detail=error.detail))
