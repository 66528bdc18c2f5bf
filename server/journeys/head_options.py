"""The options of a task's head: as its owner asked, and otherwise as the backbone chooses for such a support set."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.bundle import Bundle
from models.heads.fitting import classes_of
from models.heads.head import Float32
from models.heads.several_labels import OPTIONS as SEVERAL_LABELS
from models.heads.temperature import options_for
from models.labels import Label, as_sets
from models.manifest import HeadDefaults, HeadOptions, Solver
from models.runtimes.text import can_read_text
from server.errors import NotForSeveralLabels
from server.schemas.requests import TaskOptions
from server.store.records import FittedOptions

_MOST_TEMPERATURE = 1e3  # the bound of `HeadOptions`, far above 1 / scale of any trained network
_TYPED_DIGITS = 9  # a law's temperature has all of a float's


def chosen(
    bundle: Bundle, asked: TaskOptions, labels: Sequence[Label], embeddings: Float32, named: Sequence[str] = ()
) -> FittedOptions:
    """Returns the options of a new task.

    Args:
        bundle: its backbone's.
        labels, embeddings: of its n examples, the latter (n, D).
        named: classes that need no example, where the bundle reads text.

    Raises:
        NotForSeveralLabels: an image may have several labels, and another solver or a temperature is asked for.
    """
    if as_sets(labels) is not None and (asked.solver not in {None, SEVERAL_LABELS.solver} or asked.temperature is not None):
        raise NotForSeveralLabels("another solver than ridge, and a temperature")
    return _with(bundle, asked.solver, asked.given(), labels, embeddings, named)


def chosen_again(
    before: FittedOptions, was: HeadDefaults | None, bundle: Bundle, labels: Sequence[Label], embeddings: Float32
) -> FittedOptions:
    """The options of a task's next version: what was the backbone's own choice follows the support set and the backbone, and what
    somebody asked for stays, and so does the solver.

    Args:
        before: the options of the version before.
        was: the defaults of that version's backbone; None where it is not on this server any more.
        bundle, labels, embeddings: as the next version has them.
    """
    return _with(bundle, before.solver, _asked(before, was), labels, embeddings, before.named)


def chosen_instead(
    before: FittedOptions,
    asked: TaskOptions,
    was: HeadDefaults,
    bundle: Bundle,
    labels: Sequence[Label],
    embeddings: Float32,
) -> FittedOptions:
    """The options that somebody asks for in place of a version's: what is not asked for stays as `chosen_again` says, save that
    another solver comes with options of its own.
    """
    if asked.solver not in {None, before.solver}:
        return chosen(bundle, asked, labels, embeddings, before.named)
    return _with(bundle, before.solver, _asked(before, was) | asked.given(), labels, embeddings, before.named)


def _with(
    bundle: Bundle,
    solver: Solver | None,
    asked: Mapping[str, Any],
    labels: Sequence[Label],
    embeddings: Float32,
    named: Sequence[str],
) -> FittedOptions:
    if as_sets(labels) is not None:
        return FittedOptions(**{**SEVERAL_LABELS.model_dump(), **asked}, asked=tuple(asked))
    if (tower := bundle.manifest.text) is None:
        named = ()
    elif not can_read_text():
        named = [name for name in named if name in set(labels)]
    elif not set(named) <= set(labels):
        wanted = HeadOptions(**{**bundle.manifest.head.options(solver).model_dump(), **asked})
        of_names = {"temperature": min(1.0 / tower.scale, _MOST_TEMPERATURE), "centre": False}
        waits = wanted if of_names.keys() & asked.keys() else None
        given = {**wanted.model_dump(), **of_names}
        return FittedOptions(**given, asked=tuple(asked), named=tuple(named), name_weight=1.0, for_images=waits)
    _, indices = classes_of(labels)
    options = options_for(bundle.manifest.head, solver, embeddings, indices, bundle.feature_mean)
    return FittedOptions(**{**options.model_dump(), **asked}, asked=tuple(asked), named=tuple(named))


def _asked(before: FittedOptions, was: HeadDefaults | None) -> dict[str, Any]:
    """Returns the options that somebody asked for.

    Versions stored before that was kept need a guess: options that differ from the backbone's own choice, and a temperature with
    as few digits as people type.
    """
    if before.asked is not None:
        return before.asked_for()
    if was is None:
        return {}
    usual = was.options(before.solver)
    guessed = {name: value for name, value in before if name in HeadOptions.model_fields and value != getattr(usual, name)}
    if before.temperature != float(f"{before.temperature:.{_TYPED_DIGITS}g}"):
        guessed.pop("temperature", None)
    return guessed
