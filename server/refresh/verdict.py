"""The verdict on moving a task onto another backbone: by its own examples, or else by the two bundles' evaluations."""

from dataclasses import dataclass

import numpy as np

from models.arrays import Ints
from models.labels import as_sets, as_texts
from server.engine.backbone import ServedBackbone
from server.journeys.class_names import prior_at
from server.journeys.evaluations import accuracies, distance
from server.journeys.label_quality import METHOD, judge_labels_left_out
from server.journeys.tally import Tally, judge_left_out
from server.store.records import Accuracy, FittedOptions
from server.store.refresh_records import Judgement, Reason
from server.store.support_records import Support

_ROUNDING = 1e-9
_FEWEST_DATASETS = 2
_UNJUDGED = Judgement("nothing", 0, None, None)


@dataclass(frozen=True, slots=True)
class Side:
    """The task's support set and head options on one of the two backbones."""

    support: Support
    backbone: ServedBackbone
    options: FittedOptions


@dataclass(frozen=True, slots=True)
class MoveVerdict:
    """The decision whether a task is moved, its evidence, and the reason.

    Attributes:
        accuracy: of the head on the new backbone, if its examples could judge it.
    """

    moves: bool
    judgement: Judgement
    reason: Reason
    accuracy: Accuracy | None = None


def judge_move(before: Side | None, after: Side, max_drop: float) -> MoveVerdict:
    """Judges both heads by leave-one-out on the same examples.

    Where each example is alone in its class, or like all others of it, none can be left out. Then the task stays, unless the
    bundles' evaluations on several datasets favour the move.

    Args:
        before: None if the task's own backbone is not on this server any more: then it answers nothing where it is, and moves.
        max_drop: how far the accuracy may fall; at 1 nothing speaks against a move.
    """
    if before is None:
        detail = "its own bundle is not on this server any more, so that it answered nothing"
        return MoveVerdict(True, _UNJUDGED, Reason("backbone_unavailable", detail))
    if not set(after.options.named) <= set(after.support.labels):
        return _by_nothing("a class has no image, so that class names answer, which nothing can judge", max_drop)
    groups = before.backbone.groups(before.support.labels, before.support.embeddings)  # as the task's own backbone sees them
    method, of_before = _left_out(before, groups)
    _, of_after = _left_out(after, groups)
    if of_before.accuracy is None or of_after.accuracy is None:
        return _by_evaluations(before, after, max_drop)
    judged, fall = of_before.judged, of_before.accuracy - of_after.accuracy
    judgement = Judgement(method, judged, of_before.accuracy, of_after.accuracy)
    shares = f"from {of_before.accuracy:.3f} to {of_after.accuracy:.3f}"
    if fall > max_drop + _ROUNDING:
        return MoveVerdict(False, judgement, Reason("accuracy_fell", f"accuracy would fall {shares}, by more than {max_drop:g}"))
    held = Reason("accuracy_held", f"accuracy goes {shares} on the {judged} examples judged")
    return MoveVerdict(True, judgement, held, of_after.interval and Accuracy(of_after.accuracy, *of_after.interval))


def _left_out(side: Side, groups: Ints) -> tuple[str, Tally]:
    """Returns how the examples were left out, and the result."""
    support, space = side.support, side.backbone.space
    if (sets := as_sets(support.labels)) is not None:
        return METHOD, judge_labels_left_out(sets, support.embeddings, space, side.options, groups).of_all
    names = prior_at(side.options, support.labels, side.backbone)
    verdict = judge_left_out(as_texts(support.labels), support.embeddings, space, side.options, groups, names)
    return verdict.left_out.method, verdict.of_all


def _by_evaluations(before: Side, after: Side, max_drop: float) -> MoveVerdict:
    """Judges a move by the two bundles' evaluations.

    Both need evaluations on the novel classes of at least two datasets, at the same way and shot. The move is favoured if the new
    bundle is at least as good in the mean, and on no dataset worse by more than `max_drop`.
    """
    alone = "each example is alone in its class, or like all others of it, so that none can be left out"
    shares = _in_common(before, after)
    if max_drop >= 1 or len(shares) < _FEWEST_DATASETS:
        few = f"the evaluations of the two bundles have {'one dataset' if shares else 'no datasets'} in common"
        return _by_nothing(alone, max_drop, f", and {few}")
    mean_before, mean_after = (float(np.mean([pair[each] for pair in shares.values()])) for each in (0, 1))
    judgement = Judgement("evaluations", 0, mean_before, mean_after)
    told = f"{alone}; on {len(shares)} datasets the bundles' evaluations say {mean_before:.3f} before and {mean_after:.3f} after"
    worst = min(shares, key=lambda dataset: shares[dataset][1] - shares[dataset][0])
    fall = shares[worst][0] - shares[worst][1]
    if mean_after < mean_before - _ROUNDING:
        return MoveVerdict(False, judgement, Reason("evaluations_fell", told))
    if fall > max_drop + _ROUNDING:
        pair = f"{shares[worst][0]:.3f} and {shares[worst][1]:.3f}"
        return MoveVerdict(False, judgement, Reason("evaluations_fell", f"{told}, but on {worst} {pair}"))
    return MoveVerdict(True, judgement, Reason("evaluations_favour", f"{told}, and on none a fall of more than {max_drop:g}"))


def _by_nothing(why: str, max_drop: float, further: str = "") -> MoveVerdict:
    """Returns the verdict where nothing can judge: the task moves if any fall is allowed."""
    if max_drop >= 1:
        return MoveVerdict(True, _UNJUDGED, Reason("any_fall_allowed", f"{why}; max_drop allows any fall"))
    return MoveVerdict(False, _UNJUDGED, Reason("not_judged", f"{why}{further}"))


def _in_common(before: Side, after: Side) -> dict[str, tuple[float, float]]:
    """By dataset, the accuracy of both bundles at the way and shot nearest to the task's that both were evaluated at."""
    solver, labels = after.options.solver, after.support.labels
    ways, examples = len(set(labels)), len(labels)
    ours, theirs = (accuracies(side.backbone, solver) for side in (before, after))
    # The nearest comes last, and stays.
    common = sorted(ours.keys() & theirs.keys(), key=lambda each: (distance(each, ways, examples), each), reverse=True)
    return {each.dataset: (ours[each], theirs[each]) for each in common}
