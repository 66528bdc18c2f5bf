"""The parts of a quality reply that are the same whether an image has one label or several."""

from collections.abc import Sequence

from models.arrays import Ints
from models.examples.suspects import duplicates
from models.heads.head import Float32
from models.labels import Label
from server.engine.backbone import ServedBackbone
from server.schemas.from_records import label_fields
from server.schemas.quality import ClassQuality, DuplicateReply


def duplicates_in(
    ids: Sequence[str],
    file_names: Sequence[str | None],
    labels: Sequence[Label],
    classes: Ints,
    embeddings: Float32,
    backbone: ServedBackbone,
) -> list[DuplicateReply]:
    """Returns the examples that are all but an earlier one.

    Args:
        classes: (n,) in [0, K), of the n labels, or of the n sets of them.
        embeddings: (n, D), made by the backbone.
    """
    found = []
    for twin in duplicates(backbone.space.features(embeddings, centre=False), classes, backbone.duplicate_similarity):
        earlier = label_fields(labels[twin.of])
        found.append(
            DuplicateReply(
                example=ids[twin.example],
                **label_fields(labels[twin.example]),
                of=ids[twin.of],
                of_label=earlier["label"],
                of_labels=earlier["labels"],
                similarity=twin.similarity,
                file_name=file_names[twin.example],
                of_file_name=file_names[twin.of],
            )
        )
    return found


def is_one_session(entry: ClassQuality) -> bool:
    """Returns whether the examples of a class are all one group, so that none tells how others are recognised."""
    return entry.examples > 1 and not entry.judged


def first_of(labels: Sequence[str]) -> str:
    """Returns the first label, and how many more there are, for a sentence."""
    others = f" and of {len(labels) - 1} more" if len(labels) > 1 else ""
    return f"{labels[0]!r}{others}"
