"""Tables of the `headstart` command, made from replies as the API's documentation has them."""

import io
from typing import Any

from rich.console import Console, RenderableType

from headstart import Prediction, Quality, Unreadable
from headstart.cli.tables import predictions
from headstart.cli.tables.fitting import Column, FittedTable
from headstart.cli.tables.quality import quality_table
from headstart.cli.tables.refreshes import refreshes_table
from headstart.cli.tables.tasks import tasks_table


def printed(table: RenderableType, width: int = 1000) -> str:
    file = io.StringIO()
    Console(file=file, width=width, markup=False, emoji=False, highlight=False).print(table)
    return file.getvalue()


def lines(table: RenderableType, width: int) -> list[str]:
    return [line.rstrip() for line in printed(table, width).splitlines() if line.strip()]


def test_where_there_is_nothing_the_command_says_how_to_begin() -> None:
    assert "`headstart create NAME FOLDER` makes one" in printed(tasks_table([]))
    assert "`headstart refresh BACKBONE` moves tasks" in printed(refreshes_table([]))


def quality(**changes: Any) -> Quality:
    classes = [
        {"label": "cat", "examples": 5, "groups": 1, "judged": 0, "recognised": 0, "accuracy": None, "interval": None},
        {"label": "dog", "examples": 5, "groups": 5, "judged": 5, "recognised": 5, "accuracy": 1.0, "interval": [0.5, 1.0]},
    ]
    return Quality.from_json(
        {
            "task": "task_1",
            "version": 3,
            "method": "leave-one-out",
            "judged": 5,
            "accuracy": 1.0,
            "interval": [0.524, 1.0],
            "classes": classes,
            "one_session": ["cat"],
            "confusions": [],
            "prior": None,
            "advice": "More images of 'cat' would help most.",
            "suspects": [],
            "duplicates": [],
            **changes,
        }
    )


def test_shots_of_one_thing_and_classes_of_one_session_are_remarked_on() -> None:
    said = printed(quality_table(quality()))
    assert "The 10 examples look like 6 different things: shots of one thing are left out together, and count as one." in said
    assert "Images that seem to be of one session only: cat." in said


def test_a_prior_of_several_datasets_has_its_range() -> None:
    prior = {"accuracy": 0.8, "lowest": 0.7, "highest": 0.9, "ways": 5, "shots": 1, "datasets": ["birds", "tools"]}
    said = printed(quality_table(quality(prior=prior)))
    assert "80.0% in the mean, 70.0% to 90.0% by dataset, with 5 classes of 1 on birds, tools" in said


def test_a_forecast_names_the_images_of_each_class_where_all_have_as_many() -> None:
    forecast = [
        {"factor": 2, "accuracy": 0.906, "interval": [0.86, 0.949]},
        {"factor": 5, "accuracy": 0.93, "interval": [0.9, 0.96]},
    ]
    said = printed(quality_table(quality(forecast=forecast)))
    assert "More images, with the 80 % interval: 91% with 10 each (86% to 95%), 93% with 25 each (90% to 96%)." in said
    (cat, dog) = quality().raw["classes"]
    said = printed(quality_table(quality(forecast=forecast, classes=[cat | {"examples": 2}, dog])))
    assert "91% with 2 times as many of each class (86% to 95%)" in said
    assert "More images, with" not in printed(quality_table(quality(forecast=[])))


def test_an_unreadable_image_and_one_without_neighbours_have_their_rows() -> None:
    scores = {"cat": 0.75, "dog": 0.25}
    read, unreadable = Prediction("cat", 0.75, scores), Unreadable("image_broken", "the image is damaged")
    heading, rule, first, second = lines(predictions.predictions_table([("a.jpg", read), ("b.jpg", unreadable)]), 200)
    assert heading.split() == ["image", "label", "sure", "or", "else", "nearest", "example"]
    assert set(rule) <= {"─", " "}
    assert first.split() == ["a.jpg", "cat", "75.0%", "dog", "25.0%"]
    assert second.split() == ["b.jpg", "unreadable", "the", "image", "is", "damaged"]
    assert predictions.csv_row_of_many("b.jpg", "birds", "task_1", unreadable) == (
        ("b.jpg", "birds", "task_1", "", "", "the image is damaged")
    )


def narrow(*columns: Column) -> FittedTable:
    table = FittedTable(columns)
    for row in ("first", "second"):
        table.add_row(*(f"{row} {column.title}" for column in columns))
    return table


def test_columns_go_by_their_rank_and_a_note_goes_below() -> None:
    table = narrow(Column("name"), Column("late", goes=2), Column("early", goes=1), Column("note", below=True))
    assert lines(table, 80)[0].split() == ["name", "late", "early", "note"]
    below = lines(table, 44)
    assert below[0].split() == ["name", "late", "early"]
    assert below[2:4] == [" first name    first late    first early", "    first note"]
    assert lines(table, 30)[0].split() == ["name", "late"]
    assert lines(table, 18)[0].split() == ["name"]


def test_a_column_that_tells_rows_alike_goes_first() -> None:
    table = FittedTable((Column("id"), Column("same", goes=2), Column("own", goes=1)))
    table.add_row("number one", "alike", "one")
    table.add_row("number two", "alike", "two")
    assert lines(table, 20)[0].split() == ["id", "own"]


def test_what_may_not_be_cut_is_folded() -> None:
    table = FittedTable((Column("id"),))
    table.add_row("example_" + 30 * "x")
    assert "".join(line.strip() for line in lines(table, 20)[2:]) == "example_" + 30 * "x"
