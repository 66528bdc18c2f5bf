"""The quality of a task, and comparisons of ways to fit it, as tables."""

from collections.abc import Sequence

from rich.console import Group, RenderableType

from headstart.cli.tables.fitting import Column, FittedTable
from headstart.cli.tables.text import class_names, example_name, percent, percent_range, printable
from headstart.replies.comparison import Comparison, Trial
from headstart.replies.quality import Prior, Quality


def quality_table(found: Quality) -> RenderableType:
    """The quality of a task, class by class, and the examples to look at; empty tables are left out."""
    parts: list[RenderableType] = [_verdict(found)]
    if found.prior:
        parts.append(_expected(found.prior))
    if found.forecast:
        parts.append(_with_more(found))
    parts += _alike(found)
    classes = FittedTable(
        (
            Column("class", cut="end"),
            Column("examples", number=True, goes=2),
            Column("judged", number=True, goes=1),
            Column("recognised", number=True),
            Column("accuracy"),
            Column("95 %"),
            *((Column("wrongly", number=True),) if _several_labels(found) else ()),
        )
    )
    for each in found.classes:
        numbers = (str(each.examples), str(each.judged), str(each.recognised))
        wrongly = (percent(each.false_positive_rate),) if _several_labels(found) else ()
        classes.add_row(printable(each.label), *numbers, percent(each.accuracy), percent_range(each.interval), *wrongly)
    confusions = FittedTable((Column("class", cut="end"), Column("taken for", cut="end"), Column("examples", number=True)))
    for pair in found.confusions:
        confusions.add_row(printable(pair.label), printable(pair.recognised_as), str(pair.examples))
    parts += [table for table in (classes, confusions, _suspects(found), _duplicates(found)) if table.row_count]
    return Group(*parts, printable(found.advice))


def comparison_table(found: Comparison) -> RenderableType:
    """One line for the active version and for each candidate, with the best marked, and advice."""
    table = FittedTable(
        (
            Column(""),
            Column("backbone", cut="end", goes=5),
            Column("solver"),
            Column("C", number=True, goes=3),
            Column("T", number=True, goes=2),
            Column("recognised", number=True),
            Column("difference (95 %)", goes=4),
            Column("log-loss", number=True, goes=1),
        )
    )
    for number, each in enumerate([found.current, *found.candidates]):
        place = f"{number or 'active'}{', best' if number == found.raw['best'] else ''}"
        table.add_row(
            place,
            printable(each.backbone),
            *(_trial(each) if isinstance(each, Trial) else ["cannot be tried", "", "", "", "", ""]),
        )
    judged = f"on {found.current.judged} examples by {found.current.method}"
    return Group(f"Version {found.version} and the candidates, {judged}:", table, printable(found.advice))


def _several_labels(found: Quality) -> bool:
    return any(each.false_positive_rate is not None for each in found.classes)


def _name(label: str | None, labels: Sequence[str] | None) -> str:
    return class_names(labels) if label is None else printable(label)


def _suspects(found: Quality) -> FittedTable:
    known = any(each.file_name for each in found.suspects)
    table = FittedTable(
        (
            *((Column("file", cut="start"),) if known else ()),
            Column("example", goes=1 if known else 0),
            Column("class", cut="end"),
            Column("seems to be", cut="end"),
            Column("sure", number=True),
        )
    )
    for each in found.suspects:
        file = (example_name(each.example, each.label, each.file_name),) if known else ()
        labels = (_name(each.label, each.labels), _name(each.suggested, each.suggested_labels))
        table.add_row(*file, each.example, *labels, f"{each.confidence:.1%}")
    return table


def _duplicates(found: Quality) -> FittedTable:
    known = any(each.file_name or each.of_file_name for each in found.duplicates)
    table = FittedTable(
        (
            *((Column("file", cut="start"),) if known else ()),
            Column("example", goes=2 if known else 0),
            Column("class", cut="end", goes=3),
            Column("same as", cut="start" if known else None),
            Column("its class", cut="end", goes=4),
            Column("alike", number=True, goes=1),
        )
    )
    for twin in found.duplicates:
        file = (example_name(twin.example, twin.label, twin.file_name),) if known else ()
        labels = _name(twin.label, twin.labels), _name(twin.of_label, twin.of_labels)
        same = example_name(twin.of, twin.of_label, twin.of_file_name) if known else twin.of
        table.add_row(*file, twin.example, labels[0], same, labels[1], f"{twin.similarity:.1%}")
    return table


def _trial(each: Trial) -> list[str]:
    head, difference = each.head, each.difference
    beside = f"{difference.accuracy:+.1%} ({difference.interval[0]:+.1%} to {difference.interval[1]:+.1%})" if difference else ""
    return [
        f"{head.solver}, centred" if head.centre else head.solver,
        f"{head.C:g}",
        f"{head.temperature:.3g}",
        f"{each.recognised} {percent(each.accuracy)}",
        beside,
        "" if each.log_loss is None else f"{each.log_loss:.3f}",
    ]


def _verdict(found: Quality) -> str:
    if found.accuracy is None:
        return f"Version {found.version}: no example can be judged: each is the only one of its class, or like all others of it."
    if _several_labels(found):
        share = f"{percent(found.accuracy)} (95 % interval {percent_range(found.interval)})"
        return f"Version {found.version}: {share} of the labels right, by {found.method} of {found.judged} examples."
    recognised = sum(each.recognised for each in found.classes)
    share = f"{percent(found.accuracy)} (95 % interval {percent_range(found.interval)})"
    return f"Version {found.version}: {share} recognised by {found.method}, {recognised} of {found.judged} examples."


def _expected(prior: Prior) -> str:
    many = len(prior.datasets) > 1
    mean = f"{prior.accuracy:.1%}" + (f" in the mean, {prior.lowest:.1%} to {prior.highest:.1%} by dataset," if many else "")
    datasets = ", ".join(printable(dataset) for dataset in prior.datasets)
    return (
        f"The backbone's own evaluations found {mean} with {prior.ways} classes of {prior.shots} on {datasets}, "
        "the setting nearest to this task."
    )


def _with_more(found: Quality) -> str:
    counts = {each.examples for each in found.classes}

    def images(factor: int) -> str:
        return f"{factor * min(counts)} each" if len(counts) == 1 else f"{factor} times as many of each class"

    expected = [
        f"{each.accuracy:.0%} with {images(each.factor)} ({each.interval[0]:.0%} to {each.interval[1]:.0%})"
        for each in found.forecast
    ]
    return f"More images, with the 80 % interval: {', '.join(expected)}."


def _alike(found: Quality) -> list[RenderableType]:
    """Remarks on shots of one thing, if there are any."""
    parts: list[RenderableType] = []
    examples = sum(each.examples for each in found.classes)
    if found.groups < examples and not _several_labels(found):
        parts.append(
            f"The {examples} examples look like {found.groups} different things: shots of one thing are left out together, "
            "and count as one."
        )
    if found.one_session:
        parts.append(
            f"Images that seem to be of one session only: {', '.join(map(printable, found.one_session))}. How well other images "
            "will be recognised is not known."
        )
    return parts
