"""The search space: fields of a recipe, each with a range or a few values, checked against the recipe's types."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, get_args

from training.run.recipes import Recipe, RecipeError, changed

Value: TypeAlias = float | int | str | bool

# A trial has the images, the network and the length of every other one. The rest are no single values.
_FIXED = {"name", "summary", "network", "widths", "input_size", "epochs", "milestones", "augmentation"}
_SEARCHABLE = [name for name in Recipe.model_fields if name not in _FIXED]
_DECADE = 10.0


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included. A decade or more of positive numbers is searched by logarithms."""

    low: float
    high: float
    whole: bool = False

    @property
    def logarithmic(self) -> bool:
        return self.low > 0 and self.high >= _DECADE * self.low

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:.12g}..{self.high:.12g}"


@dataclass(frozen=True)
class Choice:
    """A few values."""

    values: tuple[Value, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return ",".join(map(text_of, self.values))


Axis: TypeAlias = Range | Choice
Space: TypeAlias = Mapping[str, Axis]


def text_of(value: object) -> str:
    """Returns a value as `--set` reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def told(values: Mapping[str, Value]) -> str:
    """Returns what differs from a recipe, in words."""
    return " ".join(f"{name}={text_of(value)}" for name, value in values.items()) or "the recipe as it is"


def usual_space(recipe: Recipe) -> dict[str, Axis]:
    """Returns what is searched unless fields are named: a few values that the recipe uses, around those that it has."""
    unit = recipe.ways * recipe.shots if recipe.ways else 1
    half = max(recipe.batch_size // unit // 2, 1) * unit
    space: dict[str, Axis] = {
        "learning_rate": _around(recipe.learning_rate),
        "weight_decay": _around(recipe.weight_decay or Recipe.model_fields["weight_decay"].default),
        "batch_size": Choice(tuple(dict.fromkeys((half, recipe.batch_size, 2 * recipe.batch_size)))),
        "label_smoothing": Range(0.0, 0.3),
    }
    if recipe.network == "resnet12" and not recipe.ways and not recipe.invariance_weight:
        space["mixup"] = Range(0.0, 2.0)
    for weight, used in (
        ("rotation_weight", recipe.rotation != "off"),
        ("invariance_weight", recipe.invariance_weight > 0),
        ("anchor_weight", recipe.anchor_weight > 0),
    ):
        if used:
            space[weight] = _around(getattr(recipe, weight))
    return space


def _around(value: float) -> Range:
    return Range(value / _DECADE, value * _DECADE)


def search_space(recipe: Recipe, given: Sequence[str]) -> dict[str, Axis]:
    """Returns the usual space, or that of the given fields alone.

    Args:
        given: `NAME` for the field's usual range, `NAME=LOW..HIGH`, or `NAME=VALUE,VALUE,…`.

    Raises:
        RecipeError: a field cannot be searched over, or a value is not allowed; the message says what is possible.
    """
    usual = usual_space(recipe)
    if not given:
        return usual
    space: dict[str, Axis] = {}
    for text in given:
        name, separator, values = text.partition("=")
        if name not in _SEARCHABLE:
            raise RecipeError(f"there is no search over {name}; there is over {', '.join(_SEARCHABLE)}")
        if name in space:
            raise RecipeError(f"--over {name} was given twice")
        try:
            space[name] = _axis(recipe, name, values) if separator else usual[name]
        except KeyError:
            raise RecipeError(f"{name} has no usual range; give {_possible(recipe, name)}") from None
        except RecipeError as error:
            raise RecipeError(f"--over {text}: {error}; give {_possible(recipe, name)}") from error
    return space


def _axis(recipe: Recipe, name: str, text: str) -> Axis:
    low, is_range, high = text.partition("..")
    if not is_range:
        values = tuple(dict.fromkeys(_checked(recipe, name, each) for each in text.split(",")))
        if len(values) < 2:
            raise RecipeError("a single value is no search")
        return Choice(values)
    if not _numbers(name):
        raise RecipeError("only numbers have ranges")
    ends = [_checked(recipe, name, end) for end in (low, high)]
    least, most = (float(end) for end in ends)
    if not math.isfinite(least) or not math.isfinite(most):
        raise RecipeError("the ends of a range are finite")
    if least >= most:
        raise RecipeError(f"{most:g} is not above {least:g}")
    return Range(least, most, whole=isinstance(ends[0], int))


def _checked(recipe: Recipe, name: str, text: str) -> Value:
    """Returns a value as the recipe types it."""
    value: Value = getattr(changed(recipe, {name: text}), name)
    return value


def _numbers(name: str) -> bool:
    kind = Recipe.model_fields[name].annotation
    return bool({int, float} & {kind, *get_args(kind)})


def _possible(recipe: Recipe, name: str) -> str:
    """Returns what `--over` takes for a field, in words."""
    now = getattr(recipe, name)
    field = Recipe.model_fields[name]
    if not _numbers(name):
        known = ",".join(map(text_of, get_args(field.annotation))) or f"{text_of(now)},OTHER"
        return f"{name}={'true,false' if field.annotation is bool else known}"
    bounds = [
        f"{word} {getattr(rule, attribute):g}"
        for rule in field.metadata
        for attribute, word in (("gt", "above"), ("ge", "from"), ("lt", "below"), ("le", "to"))
        if hasattr(rule, attribute)
    ]
    allowed = f", of values {' and '.join(bounds)}" if bounds else ""
    return f"{name}=LOW..HIGH or {name}=VALUE,VALUE{allowed}; the recipe has {now}"
