"""How a task's head is fitted: as its owner asked, and for the rest as the backbone says of such a support set."""

from collections import Counter
from collections.abc import Sequence

from models.manifest import HeadDefaults, HeadOptions
from models.temperature import options_for
from server.schemas.requests import TaskOptions


def chosen(defaults: HeadDefaults, asked: TaskOptions, labels: Sequence[str]) -> HeadOptions:
    """The options of a new task.

    Args:
        labels: of its examples.
    """
    options = options_for(defaults, asked.solver, _counts(labels))
    return options.model_copy(update=asked.model_dump(exclude_none=True))


def chosen_again(
    before: HeadOptions, was: tuple[HeadDefaults, Sequence[str]], now: tuple[HeadDefaults, Sequence[str]]
) -> HeadOptions:
    """The options of a task's next version: what was the backbone's own choice follows the support set and the backbone, and what
    somebody asked for stays.

    Args:
        before: the options of the version before.
        was, now: the backbone's defaults and the labels of the examples, of that version and of the next.
    """
    usual, options = (options_for(defaults, before.solver, _counts(labels)) for defaults, labels in (was, now))
    asked = {name: value for name, value in before if value != getattr(usual, name)}
    return options.model_copy(update=asked)


def chosen_instead(
    before: HeadOptions,
    asked: TaskOptions,
    was: tuple[HeadDefaults, Sequence[str]],
    now: tuple[HeadDefaults, Sequence[str]],
) -> HeadOptions:
    """The options that somebody asks for in place of a version's: what is not asked for stays as `chosen_again` says, save that
    another solver comes with options of its own.
    """
    if asked.solver not in {None, before.solver}:
        defaults, labels = now
        return chosen(defaults, asked, labels)
    return chosen_again(before, was, now).model_copy(update=asked.model_dump(exclude_none=True))


def _counts(labels: Sequence[str]) -> list[int]:
    return list(Counter(labels).values())
