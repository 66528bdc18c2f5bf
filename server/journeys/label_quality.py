"""The quality of a task in which an image may have several labels, as far as its support set alone can tell.

Each example is judged by heads fitted without it (`models.heads.several_labels`). An image's accuracy is the number of labels
that it has and got, divided by that of those that it has or got (the Jaccard index); 1 where both are none. A label's accuracy is
the share of its examples that got it.

Shape legend: n examples, K labels.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from models.arrays import Bools, Floats, Ints
from models.heads.fitting import classes_of
from models.heads.head import EmbeddingSpace, Float32
from models.heads.several_labels import LeftOutLabels, leave_labels_out, targets_of
from models.labels import LabelSet
from models.manifest import HeadOptions
from server.engine.backbone import ServedBackbone
from server.journeys.quality_parts import duplicates_in, first_of, is_one_session
from server.journeys.tally import Tally, tally_of, with_unjudged
from server.schemas.from_records import label_fields
from server.schemas.quality import ClassQuality, Quality, SuspectReply

METHOD = "leave-one-out"
_APPLIES = 0.5
_CONTRADICTED = 0.9  # the probability of a label that an example lacks, or one less that of a label that it has


@dataclass(frozen=True, slots=True, eq=False)
class LabelVerdict:
    """The verdict on a head, by heads fitted without each of its n examples.

    Attributes:
        names: of the K labels.
        has: bool (n, K), which labels each example has.
        left_out: what the other heads say of each example.
        of_all: all examples together; an example is judged if it is for every label.
        of_labels: K of them, of the examples that have the label.
        wrongly: (K,) the share of the other examples that got it; None where none was judged.
    """

    names: Sequence[str]
    has: Bools
    left_out: LeftOutLabels
    of_all: Tally
    of_labels: Sequence[Tally]
    wrongly: Sequence[float | None]

    @property
    def against(self) -> Floats:
        """The probability, by the other heads, that an example is wrong about a label, (n, K); NaN where it is not judged."""
        return np.where(self.has, 1.0 - self.left_out.probabilities, self.left_out.probabilities)


def judge_labels_left_out(
    label_sets: Sequence[LabelSet], embeddings: Float32, space: EmbeddingSpace, options: HeadOptions, groups: Ints
) -> LabelVerdict:
    """Judges heads fitted with these options, each example by one that was fitted without its group.

    Args:
        label_sets, embeddings: of the n examples, the latter (n, D) in this space.
        groups: (n,) what is left out together.
    """
    names, has = targets_of(label_sets)
    left_out = leave_labels_out(space.features(embeddings, options.centre), has, options, groups)
    got = left_out.probabilities >= _APPLIES
    of_labels = [_of_label(left_out, has[:, k], got[:, k], k) for k in range(len(names))]
    wrongly = [_share(got[:, k], left_out.weights * (left_out.judged[:, k] & ~has[:, k])) for k in range(len(names))]
    return LabelVerdict(names, has, left_out, _of_all(left_out, has, got, of_labels), of_labels, wrongly)


def assess_labels(
    ids: Sequence[str],
    file_names: Sequence[str | None],
    label_sets: Sequence[LabelSet],
    embeddings: Float32,
    options: HeadOptions,
    backbone: ServedBackbone,
) -> Quality:
    """Returns the quality of a head fitted with these options on n examples, (n, D) embeddings made by the backbone."""
    groups = backbone.groups(label_sets, embeddings)
    verdict = judge_labels_left_out(label_sets, embeddings, backbone.space, options, groups)
    counts = verdict.has.sum(axis=0).tolist()
    classes = [
        ClassQuality(label=name, examples=count, **asdict(found), false_positive_rate=wrongly)
        for name, count, found, wrongly in zip(verdict.names, counts, verdict.of_labels, verdict.wrongly, strict=True)
    ]
    _, kinds = classes_of([frozenset(labels) for labels in label_sets])
    return Quality(
        method=METHOD,
        judged=verdict.of_all.judged,
        groups=verdict.of_all.groups,
        accuracy=verdict.of_all.accuracy,
        interval=verdict.of_all.interval,
        classes=classes,
        one_session=[entry.label for entry in classes if is_one_session(entry)],
        confusions=[],
        prior=None,
        advice=_advice(classes, verdict),
        suspects=_suspects(ids, file_names, label_sets, verdict),
        duplicates=duplicates_in(ids, file_names, label_sets, kinds, embeddings, backbone),
    )


def _of_label(left_out: LeftOutLabels, has: Bools, got: Bools, k: int) -> Tally:
    judged = has & left_out.judged[:, k]
    worth, right = (float(left_out.weights[rows].sum()) for rows in (judged, judged & got))
    groups = len(np.unique(left_out.groups[has]))
    return tally_of(groups, judged.sum(), (judged & got).sum(), worth, right, 1.0 - 1.0 / groups)


def _of_all(left_out: LeftOutLabels, has: Bools, got: Bools, of_labels: Sequence[Tally]) -> Tally:
    judged = left_out.judged.all(axis=1)
    shares = jaccard(has[judged], got[judged])
    weights = left_out.weights[judged]
    groups = int(left_out.groups.max()) + 1
    unknown = float(np.mean([not each.judged for each in of_labels]))
    # The label with the fewest groups has seen the least of itself.
    seen = 1.0 - 1.0 / min(each.groups for each in of_labels)
    right = float(weights @ shares)
    return with_unjudged(tally_of(groups, judged.sum(), (shares == 1.0).sum(), float(weights.sum()), right, seen), unknown)


def jaccard(has: Bools, got: Bools) -> Floats:
    """Returns the share of the labels that images have and got, of those that they have or got, (n,); 1 where both are none.

    Source: Godbole & Sarawagi, Discriminative Methods for Multi-labeled Classification, PAKDD 2004; scikit-learn's
    `jaccard_score` with the average `samples`.
    """
    both, either = (has & got).sum(axis=1), (has | got).sum(axis=1)
    shares: Floats = np.where(either, both / np.maximum(either, 1), 1.0)
    return shares


def _share(found: Bools, weights: Floats) -> float | None:
    total = float(weights.sum())
    return float(weights @ found) / total if total else None


def _suspects(
    ids: Sequence[str], file_names: Sequence[str | None], label_sets: Sequence[LabelSet], verdict: LabelVerdict
) -> list[SuspectReply]:
    """Returns the examples that lack a label or have one against a strong verdict of the others, the clearest first."""
    against = verdict.against
    contradicted = np.nan_to_num(against) >= _CONTRADICTED
    rows = np.flatnonzero(contradicted.any(axis=1))
    strongest = np.nanmax(against[rows], axis=1, initial=0.0)
    found = []
    for i in np.argsort(-strongest, kind="stable"):
        row = int(rows[i])
        missing = [name for name, wrong in zip(verdict.names, contradicted[row], strict=True) if wrong]
        kept = [label for label in label_sets[row] if label not in missing]
        added = [label for label in missing if label not in label_sets[row]]
        found.append(
            SuspectReply(
                example=ids[row],
                **label_fields(label_sets[row]),
                suggested=None,
                suggested_labels=[*kept, *added],
                confidence=float(strongest[i]),
                file_name=file_names[row],
            )
        )
    return found


def _advice(classes: Sequence[ClassQuality], verdict: LabelVerdict) -> str:
    """Returns a sentence that names the label that gains most from more images."""
    if alone := [entry.label for entry in classes if entry.groups == 1]:
        return f"Add an image of {first_of(alone)}, from another time and place: a label of one image cannot be judged."
    if rest := [entry.label for entry in classes if entry.false_positive_rate is None]:
        return f"Add an image without {rest[0]!r}: a label that all but one have cannot be judged."
    wrong = np.nansum(verdict.against, axis=0) / verdict.has.sum(axis=0)
    entry = classes[int(wrong.argmax())]
    missed = entry.judged - entry.recognised
    wrongly = f"{entry.false_positive_rate:.0%} of the others got it wrongly"
    return (
        f"More images of {entry.label!r} would help most: left out, {missed} of its {entry.judged} did not get it, and {wrongly}."
    )
