"""The search space of `headstart-train search`: what may be searched over, typed and checked by the recipe."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.training_runs import recipe
from training.__main__ import main
from training.run.recipes import RECIPES, Recipe, RecipeError, changed, find_recipe
from training.search.space import Choice, Range, search_space, text_of, usual_space

QUICK = RECIPES["quick"]


@pytest.mark.parametrize("chosen", RECIPES.values(), ids=lambda chosen: chosen.name)
def test_the_usual_space_has_the_recipe_in_it_and_nothing_that_a_recipe_cannot_have(chosen: Recipe) -> None:
    space = usual_space(chosen)
    assert {"learning_rate", "weight_decay", "batch_size", "label_smoothing"} <= space.keys()
    assert ("mixup" in space) == (chosen.network == "resnet12" and chosen.ways is None)
    assert ("rotation_weight" in space) == (chosen.rotation != "off")
    assert ("anchor_weight" in space) == (chosen.anchor_weight > 0)
    for name, axis in space.items():
        assert getattr(chosen, name) in axis
        for value in axis.values if isinstance(axis, Choice) else (axis.low, axis.high):
            assert getattr(changed(chosen, {name: text_of(value)}), name) == value
    unit = chosen.ways * chosen.shots if chosen.ways else 1
    batches = space["batch_size"]
    assert isinstance(batches, Choice)
    assert all(isinstance(size, int) and size % unit == 0 for size in batches.values)


def test_fields_are_typed_as_the_recipe_types_them() -> None:
    texts = ["momentum=0..0.99", "batch_size=16..256", "ways=2,5", "schedule=cosine,step", "normalise=true,false"]
    assert search_space(QUICK, [*texts, "cosine_scale=4..32", "balancing=fixed,pcgrad", "weight_decay"]) == {
        "momentum": Range(0.0, 0.99),
        "batch_size": Range(16.0, 256.0, whole=True),
        "ways": Choice((2, 5)),
        "schedule": Choice(("cosine", "step")),
        "normalise": Choice((True, False)),
        "cosine_scale": Range(4.0, 32.0),
        "balancing": Choice(("fixed", "pcgrad")),
        "weight_decay": Range(QUICK.weight_decay / 10, QUICK.weight_decay * 10),
    }
    assert search_space(QUICK, []) == usual_space(QUICK)


def test_a_decade_of_positive_numbers_is_searched_by_logarithms() -> None:
    assert Range(0.01, 0.1).logarithmic
    assert not Range(0.02, 0.1).logarithmic
    assert not Range(0.0, 0.1).logarithmic


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour=red,blue", "there is no search over colour; there is over ways, shots, normalise, .*learning_rate, .*precision"),
        ("epochs=1..4", "there is no search over epochs"),
        ("widths=32,64", "there is no search over widths"),
        ("learning_rate=0..1", r"learning_rate: Input should be greater than 0; give learning_rate=LOW\.\.HIGH or .* above 0;"),
        ("learning_rate=1..0.1", "0.1 is not above 1; give .*; the recipe has 0.1"),
        ("learning_rate=0.1", "a single value is no search"),
        ("learning_rate=fast,slow", "should be a valid number"),
        ("learning_rate=..1", "should be a valid number"),
        ("label_smoothing=0..1", "less than 1; give .* from 0 and below 1; the recipe has 0.0"),
        ("batch_size=16..64.5", "valid integer"),
        ("mixing_temperature=1..inf", "the ends of a range are finite"),
        ("rotation=0..1", "only numbers have ranges; give rotation=off,alternate,all"),
        ("rotation=off,half", "Input should be 'off', 'alternate' or 'all'; give rotation=off,alternate,all"),
        ("normalise=0..1", "only numbers have ranges; give normalise=true,false"),
        ("balancing=fixed,luck", "balancing: .*pcgrad"),
        ("momentum", r"momentum has no usual range; give momentum=LOW\.\.HIGH or momentum=VALUE,VALUE"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        search_space(QUICK, [text])


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match="--over momentum was given twice"):
        search_space(QUICK, ["momentum=0,0.5", "momentum=0.5..0.9"])


def test_the_command_refuses_a_field_before_it_looks_for_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "search"), "--trials", "3"]
    assert main(["search", "quick", *flags, "--over", "hue=1..2"]) == 1
    assert "there is no search over hue" in capsys.readouterr().err
    assert main(["search", "quicker", *flags]) == 1
    assert "no recipe quicker: it is neither a readable file nor one of quick," in capsys.readouterr().err
    assert not (tmp_path / "search").exists()


@given(st.floats(1e-6, 10), st.floats(1e-6, 10))
@settings(deadline=None)
def test_any_range_of_allowed_numbers_is_read(one: float, other: float) -> None:
    low, high = sorted((one, other))
    if low < high:
        assert search_space(QUICK, [f"learning_rate={low}..{high}"]) == {"learning_rate": Range(low, high)}


def test_a_recipe_s_file_is_the_recipe(tmp_path: Path) -> None:
    chosen = recipe(mixing_temperature=math.inf, learning_rate=0.012345678901234567, ways=3)
    file = tmp_path / "recipe.json"
    file.write_text(chosen.model_dump_json())
    assert find_recipe(str(file)) == chosen
    assert find_recipe("quick") is QUICK


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "holds no recipe: Invalid JSON"),
        (b'{"name": "mine"}', "holds no recipe: summary: Field required"),
        (b"\xff\xfe", "holds no recipe: it is not text"),
    ],
)
def test_a_file_without_a_recipe_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        find_recipe(str(tmp_path / "recipe.json"))
