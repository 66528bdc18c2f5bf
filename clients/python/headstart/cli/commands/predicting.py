"""The commands that predict the labels of images."""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.cli import finding
from headstart.cli.failures import Exit, Misused
from headstart.cli.output import Output
from headstart.cli.tables import predictions as prediction_tables
from headstart.cli.tables.text import printable
from headstart.client import Client
from headstart.images.folders import printable_path
from headstart.replies.predictions import Prediction, Unreadable

UNSURE, DEFAULT_UNSURE = "--unsure", 0.9


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds these commands; `command` adds one."""
    likest = "the label of an unknown image is only its most similar class"
    asking = command("predict", predict, "predict the labels of images", "headstart predict birds new/1.jpg new/2.jpg more/")
    finding.add_task(asking)
    files = "an image, or a folder with images in it or its sub-folders; the answers keep this order"
    asking.add_argument("files", metavar="FILE", nargs="+", type=Path, help=files)

    asking.add_argument(
        "--ignore-unknown", action="store_true", help="do not look for images that are of none of the task's classes"
    )
    asking.add_argument(
        "--transductive",
        action="store_true",
        help="judge the images together rather than one by one: better for many images and few examples",
    )
    asking.add_argument(
        "--coverage",
        metavar="SHARE",
        type=share,
        help="show the set of labels that holds the right one so often, such as 0.9; an empty one may be a stranger",
    )
    asking.add_argument(
        UNSURE,
        metavar="SHARE",
        type=share,
        help=f"show only images whose label is less probable than SHARE (from 0 to 1; {DEFAULT_UNSURE} without a value), "
        "that are of none of the classes, or that cannot be read",
    )
    asking.add_argument(
        "--remember",
        action="store_true",
        help="have the server keep each image with its prediction, and show the ids for `headstart correct`",
    )
    asking.add_argument(
        "--csv", action="store_true", help="print " + ", ".join(prediction_tables.CSV_COLUMNS) + ", for spreadsheets; " + likest
    )

    asking_many = command(
        "predict-many",
        predict_many,
        "predict the labels of images by all tasks at once, or by some",
        "headstart predict-many new/*.jpg --task birds --task weather",
    )
    asking_many.add_argument("files", metavar="FILE", nargs="+", type=Path, help=files)
    finding.add_tasks(asking_many)
    asking_many.add_argument(
        "--judge-unknown",
        action="store_true",
        help="also look for images that are of none of a task's classes, which takes longer the more tasks there are",
    )
    asking_many.add_argument(
        "--csv", action="store_true", help="print " + ", ".join(prediction_tables.CSV_COLUMNS_OF_MANY) + ", for spreadsheets"
    )


def predict(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart predict TASK FILE…`"""
    _check_format(args)
    files = finding.images(args.files, output)
    found = finding.task(client, args.task)
    with output.progress("Looking", len(files)) as advance:
        predictions = client.predict(
            found.id,
            files,
            unknown="ignore" if args.ignore_unknown else "judge",
            mode="transductive" if args.transductive else "inductive",
            remember=args.remember or None,
            coverage=args.coverage,
            progress=advance,
        )
    shown = [at for at, result in enumerate(predictions) if args.unsure is None or _is_unsure(result, args.unsure)]
    rows = prediction_tables.rows(files, predictions, shown)
    if args.csv:
        columns: Sequence[str] = prediction_tables.CSV_COLUMNS
        cells: list[Sequence[str]] = [prediction_tables.csv_row(*row) for row in rows]
        if args.remember:
            columns = (*columns, "prediction")
            cells = [(*each, prediction_tables.identifier(result)) for each, (_, result) in zip(cells, rows, strict=True)]
        output.csv(columns, cells)
    else:
        bodies = _with_files(predictions.raw["predictions"], files)
        body = {**predictions.raw, "predictions": [bodies[at] for at in shown]}
        output.answer(body, lambda: prediction_tables.predictions_table(rows))
    if args.unsure is not None:
        output.remark(f"{len(shown)} of {len(files)} images are unsure: below {100 * args.unsure:g}%, or of none of the classes.")
    if (coverage := predictions.coverage) is not None and (coverage.finest is None or coverage.asked > coverage.finest):
        output.remark("headstart: the task has too few examples to check so high a coverage; the sets rest on probabilities.")
    if args.transductive and predictions.mode == "inductive":
        output.remark(
            "headstart: each image was judged alone: to judge so few images together, or with so many examples, would not help."
        )
    return _unreadable(files, predictions.unreadable, output)


def predict_many(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart predict-many FILE… [--task TASK]…`"""
    _check_format(args)
    files = finding.images(args.files, output)
    found = [finding.task(client, wanted) for wanted in args.tasks] or list(client.tasks())
    names = {task.id: task.name for task in found}
    with output.progress("Looking", len(files)) as advance:
        answers = client.predict_many(
            list(names) if args.tasks else "all", files, unknown="judge" if args.judge_unknown else "ignore", progress=advance
        )
    rows = prediction_tables.rows_of_many(files, answers, names)
    if args.csv:
        cells = [prediction_tables.csv_row_of_many(*row) for row in rows]
        columns = prediction_tables.CSV_COLUMNS_OF_MANY
        if args.judge_unknown:
            columns = (*columns, *prediction_tables.CSV_VERDICT)
            cells = [(*each, *prediction_tables.csv_verdict(row[-1])) for each, row in zip(cells, rows, strict=True)]
        output.csv(columns, cells)
    else:
        results = [
            {**each, "predictions": _with_files(each["predictions"], files)} if "predictions" in each else each
            for each in answers.raw["results"]
        ]
        output.answer({**answers.raw, "results": results}, lambda: prediction_tables.many_predictions_table(rows))
    for failed in answers.unusable:
        output.remark(f"headstart: {failed.task}: {failed.detail} ({failed.code})")
    read = _unreadable(files, answers.unreadable, output)
    return Exit.REFUSED if answers.unusable else read


def share(text: str) -> float:
    """Parses a probability from 0 to 1.

    Raises:
        ValueError: the text is none.
    """
    number = float(text)
    if not 0 <= number <= 1 or math.isnan(number):
        raise ValueError(text)
    return number


def _check_format(args: Namespace) -> None:
    if args.csv and args.json:
        raise Misused("--csv and --json cannot be used together")


def _is_unsure(result: Prediction | Unreadable, least: float) -> bool:
    if isinstance(result, Unreadable) or result.known is False:
        return True
    if result.labels is not None:
        return any(max(share, 1.0 - share) < least for share in result.scores.values())
    return result.probability < least


def _with_files(answers: Sequence[Mapping[str, Any]], files: Sequence[Path]) -> list[dict[str, Any]]:
    """The API's answers, each with its file."""
    return [{"file": printable_path(file), **answer} for file, answer in zip(files, answers, strict=True)]


def _unreadable(files: Sequence[Path], unreadable: Mapping[int, Unreadable], output: Output) -> Exit:
    """Lists the images that could not be read, and returns the exit code."""
    for position, image in unreadable.items():
        output.remark(f"headstart: {printable(printable_path(files[position]))}: {image.detail} ({image.code})")
    if unreadable:
        output.remark(f"{len(unreadable)} of {len(files)} images could not be read; the others have answers.")
    return Exit.REFUSED if unreadable else Exit.DONE
