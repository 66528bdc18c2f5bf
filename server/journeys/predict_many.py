"""The query journey for many tasks: images in, predictions by every one of the tasks out.

Tasks found (404 before any work) -> embedded once for each backbone (`embed`) -> heads applied in turns, beside the event loop
-> results in the order of the tasks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from models.answers.verdicts import APPLIES, ranked
from models.arrays import Reals, on_host
from models.heads.apply import HeadStack, Probabilities
from models.heads.head import BackboneRef
from models.images.preprocess import ImageError
from server.engine.backbone import ServedBackbone
from server.errors import BackboneUnavailable, HeadstartError, InvalidRequest, StorageFailed, TaskNotFound, VersionNotFound
from server.journeys.active_task import Unknown
from server.journeys.capture import captures_of, to_capture
from server.journeys.classify import NEAREST, search
from server.journeys.embed import Embedded, embed_images, image_error
from server.journeys.predict import Data, check_images, encode, failed, in_order, predictions_of, with_verdicts
from server.metrics import Stopwatch
from server.rates import charged
from server.service import Service
from server.store.records import Active, TaskKey

Found = tuple[str, Active]
"""A task's id and the version that was active when the request came in."""

_Seen = tuple[ServedBackbone, Embedded] | BackboneUnavailable


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The data that every turn of a request needs."""

    service: Service
    tenant: str
    images: Sequence[bytes]
    seen: Mapping[BackboneRef, _Seen]
    top_k: int
    unknown: Unknown


# Of a turn: predictions, of which to write a thousand takes a millisecond or two; rows of weights, a thousand of which are a few
# megabytes; and scores, which stand in a few arrays at once.
_TURN_PREDICTIONS, _TURN_ROWS, _TURN_SCORES = 2048, 8192, 2**18
_MOST_LOOKED_UP = 1000
_VERDICT = 4 * NEAREST  # scores that take as much of a reply as a verdict does


async def find_tasks(service: Service, tenant: str, wanted: Literal["all"] | Sequence[str]) -> list[Found]:
    """Returns the active versions of these tasks in their order, or of all there are, newest first; before anything else is done.

    Raises:
        InvalidRequest: no task is named.
        TaskNotFound: there is no such task; the first of them.
        StorageFailed: the store cannot be read.
    """
    return await service.pools.in_thread(_find, service, tenant, wanted)


async def predict_many(
    service: Service, tenant: str, tasks: Sequence[Found], images: Sequence[bytes], top_k: int, unknown: Unknown
) -> bytes:
    """Recognises images by every one of the tasks.

    Args:
        top_k: how many labels each prediction scores, the most probable first.
        unknown: whether each prediction says if the image is a stranger to the task.

    Returns:
        A `PredictManyReply` as JSON: made bit by bit, since it may hold a million predictions.

    Raises:
        InvalidRequest, LimitExceeded: there are no images, too many, or too many scores to answer with.
        ImageBroken, ImageUnsupported, ImageTooLarge: the only image cannot be read.
        QuotaExceeded: the images are too many for the caller's quota now; each counts once, however many tasks there are.
        Unavailable: the server cannot do it now, or not for the only task.
    """
    watch = Stopwatch(service.metrics)
    check_images(images, service.settings)
    weight = _VERDICT if unknown == "judge" else 0
    with service.scores.admit(len(images) * sum(_told(active, top_k) + weight for _, active in tasks)):
        backbones = dict.fromkeys(active.backbone for _, active in tasks)
        with charged(len(images)):
            seen = {backbone: await _see(service, backbone, images, watch) for backbone in backbones}
            _raise_if_only(seen, tasks, images)
        with watch.stage("head"):
            asked = _Asked(service, tenant, images, seen, top_k, unknown)
            results = [await service.pools.in_applier(_answer, asked, turn) for turn in _turns(tasks, len(images))]
    return b'{"results":[%b],"timing_ms":%b}' % (b",".join(results), encode(watch.milliseconds()))


def _told(active: Active, top_k: int) -> int:
    """Returns how many labels a prediction of a task may name."""
    return active.ways if active.labels == "multiple" else min(top_k, active.ways)


def _find(service: Service, tenant: str, wanted: Literal["all"] | Sequence[str]) -> list[Found]:
    if not wanted:
        raise InvalidRequest("no task is named; name at least one, or say all")
    if wanted == "all":
        ids = service.store.active.ids(tenant)
        found = service.store.active.get_many(tenant, ids)
        return [(task, found[task]) for task in ids if task in found]  # One may have been deleted meanwhile.
    named: list[Found] = []
    for start in range(0, len(wanted), _MOST_LOOKED_UP):  # so that nothing is looked up beyond the first that is unknown
        ids = wanted[start : start + _MOST_LOOKED_UP]
        found = service.store.active.get_many(tenant, ids)
        try:
            named += [(task, found[task]) for task in ids]
        except KeyError as error:
            raise TaskNotFound(error.args[0]) from None
    return named


async def _see(service: Service, backbone: BackboneRef, images: Sequence[bytes], watch: Stopwatch) -> _Seen:
    """Returns the images' embeddings by one backbone, or why there are none; an error concerns its tasks alone."""
    try:
        async with service.backbones.use(backbone) as served:
            return served, await embed_images(service, served, images, watch)
    except BackboneUnavailable as error:
        return error


def _raise_if_only(seen: Mapping[BackboneRef, _Seen], tasks: Sequence[Found], images: Sequence[bytes]) -> None:
    """Raises what is wrong with the only image or the only task."""
    for outcome in seen.values():
        if isinstance(outcome, BackboneUnavailable):
            if len(tasks) == 1:
                raise outcome
        elif len(images) == 1 and (error := outcome[1].errors[0]):
            raise image_error(error, "the image cannot be used")


def _turns(tasks: Sequence[Found], images: int) -> Iterator[Sequence[Found]]:
    """Yields the tasks, a few at a time, so that neither others' requests nor memory suffer from how many there are."""
    most, most_rows = _TURN_PREDICTIONS // images, min(_TURN_ROWS, _TURN_SCORES // images)
    start, rows = 0, 0
    for end, (_, active) in enumerate(tasks):
        if end > start and (end - start >= most or rows + active.ways > most_rows):
            yield tasks[start:end]
            start, rows = end, 0
        rows += active.ways
    if tasks:
        yield tasks[start:]


def _answer(asked: _Asked, tasks: Sequence[Found]) -> bytes:
    """Returns the results of a turn as JSON, without the brackets around them."""
    loaded = asked.service.heads.load_many(asked.tenant, [(task, active.version) for task, active in tasks])
    results = {position: _failed(*tasks[position], TaskNotFound(tasks[position][0])) for position in loaded.missing}
    usable: list[tuple[HeadStack, Probabilities, ServedBackbone, Embedded]] = []
    # All products first: between them, each would find the code of what follows gone from the core's cache.
    for stack in loaded.stacks:
        outcome = asked.seen[stack.backbone]
        if isinstance(outcome, BackboneUnavailable):
            results |= {position: _failed(*tasks[position], outcome) for position in stack.positions}
        else:
            served, embedded = outcome
            probabilities = on_host(stack.probabilities(embedded.embeddings, served.space_there))
            usable.append((stack, probabilities, served, embedded))
    for stack, probabilities, served, embedded in usable:
        if asked.unknown == "judge":
            results |= _judged(asked, tasks, stack, probabilities, served, embedded)
        else:
            results |= _results(tasks, stack, probabilities, embedded.errors, asked.top_k)
            for position, shares in zip(stack.positions, probabilities, strict=True):
                _capture(asked, tasks[position], embedded, shares, None)
    return ",".join([results[position] for position in range(len(tasks))]).encode()


def _judged(
    asked: _Asked,
    tasks: Sequence[Found],
    stack: HeadStack,
    probabilities: Probabilities,
    served: ServedBackbone,
    embedded: Embedded,
) -> Iterator[tuple[int, str]]:
    """Yields the results of `_results` with verdicts. Searching each task's support set takes most of the time."""
    queries = served.background.queries(on_host(embedded.embeddings))
    for position, labels, of_task in zip(stack.positions, stack.labels, probabilities, strict=True):
        task, active = tasks[position]
        try:
            support = asked.service.support.load(TaskKey(asked.tenant, task), active.version, len(labels), served)
        except (TaskNotFound, VersionNotFound):  # removed meanwhile
            yield position, _failed(task, active, TaskNotFound(task))
            continue
        neighbours = search(support, queries, served.background, of_task, stack.independent)
        found = predictions_of(labels, of_task, asked.top_k, stack.independent)
        predictions = with_verdicts(found, asked.service.address(task), support, neighbours)
        yield position, _written(task, active, predictions=in_order(embedded.errors, predictions))
        _capture(asked, tasks[position], embedded, of_task, neighbours.novelty)


def _capture(asked: _Asked, found: Found, embedded: Embedded, probabilities: Probabilities, novelty: Reals | None) -> None:
    """Captures the predictions of one task that it is set to capture; `probabilities` are (N, K) of the readable images."""
    task, active = found
    several = active.labels == "multiple"
    if active.capture.keep == "none" or not len(rows := to_capture(active.capture, several, probabilities, novelty)):
        return
    key = TaskKey(asked.tenant, task)
    try:
        head = asked.service.heads.load(key, active.version)
    except (TaskNotFound, VersionNotFound, StorageFailed):  # removed meanwhile, or unreadable: no prediction fails because of it
        return
    seen = (embedded.readable(asked.images), embedded.embeddings, probabilities, novelty)
    asked.service.offer_captures(captures_of(key, active.version, active.forgettings, head, *seen, rows))


def _results(
    tasks: Sequence[Found], stack: HeadStack, probabilities: Probabilities, errors: Sequence[ImageError | None], top_k: int
) -> Iterator[tuple[int, str]]:
    """Yields the position and the result of each task whose head is in the stack: a `TaskPredictions` as JSON.

    The text is written without making data of it first, which would take 1.6 times as long for a thousand tasks.
    """
    failures = [(image, _text(failed(error))) for image, error in enumerate(errors) if error]
    bundle = _text(stack.backbone.bundle)
    ranking, scores = ranked(probabilities, None if stack.independent else top_k)
    applying = (scores >= APPLIES).sum(axis=-1).tolist() if stack.independent else None
    numbers = iter(_text(scores[..., :top_k].ravel().tolist())[1:-1].split(","))
    for at, (position, labels, rankings) in enumerate(zip(stack.positions, stack.labels, ranking.tolist(), strict=True)):
        task, active = tasks[position]
        found = [_prediction(labels, classes[:top_k], numbers) for classes in rankings]
        if applying is not None:
            found = [_with_labels(*each, labels) for each in zip(found, rankings, applying[at], strict=True)]
        for image, failure in failures:
            found.insert(image, failure)
        predictions = ",".join(found)
        yield position, f'{{"task":{_text(task)},"version":{active.version},"backbone":{bundle},"predictions":[{predictions}]}}'


def _prediction(labels: Sequence[str], ranking: Sequence[int], numbers: Iterator[str]) -> str:
    """Returns a `Prediction` as JSON; `numbers` gives the probabilities of the classes of `ranking`."""
    label, probability = _text(labels[ranking[0]]), next(numbers)
    scores = f"{label}:{probability}"
    for k in ranking[1:]:
        scores += f",{_text(labels[k])}:{next(numbers)}"
    return f'{{"label":{label},"probability":{probability},"scores":{{{scores}}}}}'


def _with_labels(prediction: str, ranking: Sequence[int], count: int, labels: Sequence[str]) -> str:
    """Returns a `Prediction` of JSON with the labels that an image gets, the first `count` of the ranking."""
    return f'{{"labels":{_text([labels[k] for k in ranking[:count]])},{prediction[1:]}'


def _failed(task: str, active: Active, error: HeadstartError) -> str:
    """Returns a `FailedTask` as JSON."""
    return _written(task, active, **failed(error))


def _written(task: str, active: Active, **found: Any) -> str:
    """Returns one task's part of the reply, as JSON."""
    result: Data = {"task": task, "version": active.version, "backbone": active.backbone.bundle, **found}
    return _text(result)


def _text(value: Any) -> str:
    return encode(value).decode()
