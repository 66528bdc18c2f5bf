"""Class names beside the images of a task: on a backbone that reads text they help its head, or answer until it has images.

Options chosen (`head_options`) -> names weighed by leave-one-out -> head fitted -> names added (`models.heads.class_names`).
"""

from collections.abc import Sequence

from models.arrays import Array
from models.heads.class_names import NamePrior, head_of_names, name_weight, with_names
from models.heads.fitting import classes_of
from models.heads.head import Float32, Head
from models.heads.leave_one_out import leave_one_out
from models.labels import Label, as_sets, as_texts
from models.manifest import HeadOptions
from server.engine.backbone import ServedBackbone
from server.errors import InvalidRequest, LimitExceeded
from server.store.records import FittedOptions, LabelMode, Version

MOST_NAMES = 256  # classes of a task: each name takes its network some milliseconds
_MOST_WEIGHED = 2000  # examples: with more, leaving them out would take longer than all else
_WEIGHED_EACH_TIME = 100  # examples of a version: as many as are judged by leave-one-out with each


def lacking_images(
    named: Sequence[str], labels: Sequence[Label | None], backbone: ServedBackbone, mode: LabelMode
) -> Sequence[str]:
    """Returns the classes without an image, of those that a new task is given by name.

    Args:
        named: the names.
        labels: of its examples.

    Raises:
        InvalidRequest: a class without an image is named, and the backbone cannot read, or an image may have several labels.
        LimitExceeded: the task would have too many classes to be told apart by their names.
    """
    lacking = sorted(set(named) - {label for label in labels if isinstance(label, str)})
    if named and mode == "multiple":
        raise InvalidRequest("classes are named where an image has one label; where it may have several, send examples of each")
    if lacking and backbone.class_names is None:
        raise InvalidRequest(
            f"backbone {backbone.bundle.id} cannot read class names, so each class needs an image: send one of {lacking[0]!r}"
            + (f" and of each of the {len(lacking) - 1} others" if len(lacking) > 1 else "")
        )
    if lacking and (classes := len({*named, *labels} - {None})) > MOST_NAMES:
        raise LimitExceeded("classes of a task with a class that has a name alone", classes, MOST_NAMES)
    return lacking


def names_of(options: FittedOptions, backbone: ServedBackbone) -> tuple[str, ...]:
    """Returns the classes of a version that need no example on this backbone."""
    return () if backbone.class_names is None else options.named


def weighed(
    options: FittedOptions,
    labels: Sequence[Label],
    embeddings: Float32,
    backbone: ServedBackbone,
    before: Version | None = None,
) -> FittedOptions:
    """Returns the options with the weight of the class names, chosen on the n examples.

    It is None where names play no part: the backbone cannot read, an image may have several labels, or there are too many
    classes or examples.

    Args:
        embeddings: (n, D), made by the backbone.
        before: the version that was changed, on the same backbone. Its weight stays where few of many examples differ.

    Raises:
        EngineFailed: the names cannot be embedded.
    """
    if options.name_weight is not None or as_sets(labels) is not None or len(labels) > _MOST_WEIGHED:
        return options
    names, indices = classes_of(as_texts(labels))
    if backbone.class_names is None or len(names) > MOST_NAMES:
        return options
    if before is not None and _much_like(before, names, len(labels)):
        return options.model_copy(update={"name_weight": before.options.name_weight})
    prior = backbone.class_names.prior(names)
    features = backbone.space.features(embeddings, options.centre)
    left_out = leave_one_out(features, indices, len(names), options, backbone.groups(labels, embeddings))
    weight = name_weight(left_out, features, indices, prior, trusted=set(names) <= set(options.named))
    return options.model_copy(update={"name_weight": weight})


def _much_like(before: Version, classes: Sequence[str], examples: int) -> bool:
    """Returns whether the weight of a version was chosen on about as many examples of the same classes.

    It is chosen anew when the examples reach a power of two. So a task that grows one by one leaves each out a few times in all,
    rather than once for every example that comes.
    """
    if before.options.name_weight is None or before.lacks_images or examples <= _WEIGHED_EACH_TIME:
        return False
    sizes = {entry.label: entry.examples for entry in before.classes}
    return sizes.keys() == set(classes) and sum(sizes.values()).bit_length() == examples.bit_length()


def fit_with_names(embeddings: Array, labels: Sequence[Label], options: FittedOptions, backbone: ServedBackbone) -> Head:
    """Returns a head with the class names at the weight that the options have; of the names alone while a class has no example.

    Args:
        embeddings: (n, D), made by the backbone, where its fitter takes them.

    Raises:
        EngineFailed: the names cannot be embedded.
    """
    lacking = [name for name in options.named if name not in set(labels)]
    if not lacking:
        return with_names(backbone.fitter.fit(embeddings, labels, options), prior_at(options, labels, backbone))
    names = [*dict.fromkeys(as_texts(labels)), *lacking]
    prior = backbone.names_at(options.name_weight, names)
    assert prior is not None
    return head_of_names(names, prior, options, backbone.space.backbone)


def prior_at(options: HeadOptions, labels: Sequence[Label], backbone: ServedBackbone) -> NamePrior | None:
    """Returns what the class names say at the weight that the options have; None where they have none.

    Args:
        labels: of the examples; each class has one.

    Raises:
        EngineFailed: the names cannot be embedded.
    """
    weight = options.name_weight if isinstance(options, FittedOptions) else None
    return backbone.names_at(weight, list(dict.fromkeys(as_texts(labels))))
