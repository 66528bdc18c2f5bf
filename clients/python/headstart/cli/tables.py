"""The API's answers as people read them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from headstart.cli.fitting import Column, FittedTable
from headstart.replies.comparison import Comparison, Trial
from headstart.replies.quality import Interval, Prior, Quality
from headstart.replies.refreshes import Refresh, RefreshedTask
from headstart.replies.tasks import Backbone, Example, Task, Version


def tasks(found: Sequence[Task]) -> RenderableType:
    """One line for each task."""
    if not found:
        return "There are no tasks yet. `headstart create NAME FOLDER` makes one of a folder with a folder per class."
    table = FittedTable(
        (
            Column("task"),
            Column("name", cut="end"),
            Column("classes", number=True, goes=2),
            Column("examples", number=True, goes=3),
            Column("changed", goes=1),
        )
    )
    for task in found:
        day = f"{task.updated_at.astimezone():%Y-%m-%d}"
        table.add_row(task.id, printable(task.name), str(len(task.classes)), str(task.examples), day)
    return table


def task(shown: Task) -> RenderableType:
    """One task with its classes."""
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("task", shown.id),
        ("name", printable(shown.name)),
        ("version", str(shown.version)),
        ("backbone", shown.backbone),
        ("head", f"{shown.head.solver}, C = {shown.head.C:g}, temperature = {shown.head.temperature:g}"),
        ("created", _when(shown.created_at)),
        ("changed", _when(shown.updated_at)),
    ):
        facts.add_row(name, value)
    classes = FittedTable((Column("class", cut="end"), Column("examples", number=True)))
    for size in shown.classes:
        classes.add_row(printable(size.label), str(size.examples))
    return Group(facts, classes)


def changed(now: Task, what: str) -> RenderableType:
    """A task after a change, and what to do with it."""
    milliseconds = f" in {now.timing_ms['total']:.0f} ms" if "total" in now.timing_ms else ""
    return Group(
        f"{what}{milliseconds}: version {now.version} of {printable(now.name)} answers now.",
        task(now),
        f"Try it: headstart predict {now.id} FILE",
    )


def examples(found: Sequence[Example]) -> RenderableType:
    """One line for each example."""
    table = FittedTable(
        (
            Column("example"),
            Column("class", cut="end"),
            Column("file", cut="start", goes=4),
            Column("type", goes=2),
            Column("bytes", number=True, goes=1),
            Column("added", goes=3),
        )
    )
    for each in found:
        file = printable(each.raw.get("file_name") or "")
        table.add_row(each.id, printable(each.label), file, each.media_type, str(each.bytes), _when(each.created_at))
    return table


def quality(found: Quality) -> RenderableType:
    """How good a task is, class by class, and what to look at; what there is none of is left out."""
    parts: list[RenderableType] = [_verdict(found)]
    if found.prior:
        parts.append(_expected(found.prior))
    parts += _alike(found)
    classes = FittedTable(
        (
            Column("class", cut="end"),
            Column("examples", number=True, goes=2),
            Column("judged", number=True, goes=1),
            Column("recognised", number=True),
            Column("accuracy"),
            Column("95 %"),
        )
    )
    for each in found.classes:
        numbers = (str(each.examples), str(each.judged), str(each.recognised))
        classes.add_row(printable(each.label), *numbers, _percent(each.accuracy), _range(each.interval))
    confusions = FittedTable((Column("class", cut="end"), Column("taken for", cut="end"), Column("examples", number=True)))
    for pair in found.confusions:
        confusions.add_row(printable(pair.label), printable(pair.recognised_as), str(pair.examples))
    parts += [table for table in (classes, confusions, _suspects(found), _duplicates(found)) if table.row_count]
    return Group(*parts, printable(found.advice))


def _suspects(found: Quality) -> FittedTable:
    known = any(each.get("file_name") for each in found.raw["suspects"])
    table = FittedTable(
        (
            *((Column("file", cut="start"),) if known else ()),
            Column("example", goes=1 if known else 0),
            Column("class", cut="end"),
            Column("seems to be", cut="end"),
            Column("sure", number=True),
        )
    )
    for each, raw in zip(found.suspects, found.raw["suspects"], strict=True):
        file = (told_example(raw, "example"),) if known else ()
        table.add_row(*file, each.example, printable(each.label), printable(each.suggested), f"{each.confidence:.1%}")
    return table


def _duplicates(found: Quality) -> FittedTable:
    known = any(each.get("file_name") or each.get("of_file_name") for each in found.raw["duplicates"])
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
    for twin, raw in zip(found.duplicates, found.raw["duplicates"], strict=True):
        file = (told_example(raw, "example"),) if known else ()
        labels = printable(twin.label), printable(twin.of_label)
        same = told_example(raw, "of", "of_") if known else twin.of
        table.add_row(*file, twin.example, labels[0], same, labels[1], f"{twin.similarity:.1%}")
    return table


def comparison(found: Comparison) -> RenderableType:
    """One line for the active version and for each candidate, the best marked, and what to make of it."""
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
    return Group(f"Version {found.version}, and what could be in its place, {judged}:", table, printable(found.advice))


def _trial(each: Trial) -> list[str]:
    head, difference = each.head, each.difference
    beside = f"{difference.accuracy:+.1%} ({difference.interval[0]:+.1%} to {difference.interval[1]:+.1%})" if difference else ""
    return [
        f"{head.solver}, centred" if head.centre else head.solver,
        f"{head.C:g}",
        f"{head.temperature:.3g}",
        f"{each.recognised} {_percent(each.accuracy)}",
        beside,
        "" if each.log_loss is None else f"{each.log_loss:.3f}",
    ]


def versions(found: Sequence[Version]) -> RenderableType:
    """A task's history."""
    table = FittedTable(
        (
            Column("version", number=True),
            Column(""),
            Column("change"),
            Column("classes", number=True, goes=1),
            Column("examples", number=True),
            Column("backbone", cut="end", goes=2),
            Column("made"),
        )
    )
    for version in found:
        examples = sum(size.examples for size in version.classes)
        table.add_row(
            str(version.version),
            "active" if version.active else "",
            version.change,
            str(len(version.classes)),
            str(examples),
            version.backbone,
            _when(version.created_at),
        )
    return table


def backbones(found: Sequence[Backbone]) -> RenderableType:
    """One line for each backbone."""
    table = FittedTable(
        (
            Column("backbone"),
            Column("", goes=4),
            Column("engine", goes=2),
            Column("tasks", number=True, goes=3),
            Column("embedding", number=True, goes=1),
            Column("trained on", cut="end", goes=5),
        )
    )
    for backbone in found:
        states = {"default": backbone.default, "open": backbone.open and not backbone.default, "missing": backbone.missing}
        state = ", ".join(name for name, holds in states.items() if holds)
        engines = ", ".join(backbone.engines)
        numbers = (str(backbone.active_tasks), str(backbone.embedding_dim or ""))
        table.add_row(printable(backbone.id), state, engines, *numbers, printable(backbone.dataset or ""))
    return table


def refreshes(found: Sequence[Refresh]) -> RenderableType:
    """One line for each refresh."""
    if not found:
        return "There are no refreshes yet. `headstart refresh BACKBONE` moves tasks onto another bundle."
    table = FittedTable(
        (
            Column("refresh"),
            Column("to", cut="end", goes=4),
            Column("state"),
            Column("tasks", number=True, goes=2),
            Column("moved", number=True, goes=3),
            Column("begun", goes=1),
        )
    )
    for each in found:
        numbers = (str(sum(each.tasks.values())), str(each.tasks.get("moved", 0)))
        table.add_row(each.id, printable(each.to), each.state.replace("_", " "), *numbers, _when(each.created_at))
    return table


def refresh(found: Refresh, tasks: Sequence[RefreshedTask]) -> RenderableType:
    """How good tasks were before and after, by what became of them; and each task with the reason."""
    reason = f": {printable(found.reason.detail)}" if found.reason else pace(found)
    parts: list[RenderableType] = [f"Refresh {found.id} onto {printable(found.to)}: {found.state.replace('_', ' ')}{reason}."]
    table = FittedTable((Column(""), *(Column(title, number=True) for title in ("tasks", "judged", "before", "after"))))
    outcomes = [*found.tasks, *(["all"] if len(found.tasks) > 1 else [])]
    for outcome in outcomes:
        those = [task for task in tasks if outcome in {"all", task.outcome}]
        told = [task.accuracy for task in those if task.accuracy and task.accuracy.judged]
        before, after = (_percent(_mean([getattr(each, when) for each in told])) for when in ("before", "after"))
        table.add_row(outcome.replace("_", " "), str(len(those)), str(len(told)), before, after)
    if table.row_count:
        parts.append(table)
    if tasks:
        parts.append(refreshed_tasks(tasks))
    if found.tasks.get("moved") and not found.at_work:
        parts.append(f"To return what was moved: headstart refreshes rollback {found.id}")
    return Group(*parts)


def refreshed_tasks(found: Sequence[RefreshedTask]) -> RenderableType:
    """One line for each task of a refresh."""
    table = FittedTable(
        (
            Column("task"),
            Column("outcome"),
            Column("version", number=True, goes=2),
            Column("judged by", goes=1),
            Column("before", number=True, goes=3),
            Column("after", number=True, goes=4),
            Column("why", below=True),
        )
    )
    for each in found:
        version = each.version_returned or each.version_after or each.version_before
        told = each.accuracy
        shares = (_percent(told.before), _percent(told.after)) if told else ("", "")
        judged_by = told.judged_by if told else ""
        why = printable(each.reason.detail) if each.reason else ""
        table.add_row(each.task, each.outcome.replace("_", " "), str(version or ""), judged_by, *shares, why)
    return table


def pace(found: Refresh) -> str:
    """How fast a refresh gets on, and how long it will take; empty while nobody knows."""
    if found.images_per_second is None or found.seconds_left is None:
        return ""
    minutes, seconds = divmod(round(found.seconds_left), 60)
    return f", {found.images_per_second:.0f} a second, {f'{minutes} min ' if minutes else ''}{seconds} s left"


def printable(text: str) -> str:
    """Text of others without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def summary(shown: Task) -> str:
    """One task in a line, where there is a choice to be made."""
    return f"{shown.id}  {shown.examples} examples in {len(shown.classes)} classes, {_when(shown.updated_at)}"


def told_example(body: Mapping[str, Any], id_field: str, prefix: str = "") -> str:
    """An example as its owner knows it: by class and file, or else by its id."""
    name = body.get(f"{prefix}file_name")
    return printable(f"{body[f'{prefix}label']}/{name}" if name else body[id_field])


def _expected(prior: Prior) -> str:
    many = len(prior.datasets) > 1
    mean = f"{prior.accuracy:.1%}" + (f" in the mean, {prior.lowest:.1%} to {prior.highest:.1%} by dataset," if many else "")
    datasets = ", ".join(printable(dataset) for dataset in prior.datasets)
    return (
        f"The backbone's own evaluations found {mean} with {prior.ways} classes of {prior.shots} on {datasets}, "
        "the nearest to this task."
    )


def _verdict(found: Quality) -> str:
    if found.accuracy is None:
        return f"Version {found.version}: no example can be judged, since each is alone in its class, or like all others of it."
    recognised = sum(each.recognised for each in found.classes)
    share = f"{_percent(found.accuracy)} (95 % interval {_range(found.interval)})"
    return f"Version {found.version}: {share} recognised by {found.method}, {recognised} of {found.judged} examples."


def _alike(found: Quality) -> list[RenderableType]:
    """What is to be said of shots of one thing, if there are any."""
    parts: list[RenderableType] = []
    examples = sum(each.examples for each in found.classes)
    if found.groups < examples:
        parts.append(
            f"The {examples} examples look like {found.groups} different things: shots of one thing were left out together, and "
            "count as one."
        )
    if found.one_session:
        parts.append(
            f"Images of one session only, as it seems: {', '.join(map(printable, found.one_session))}. How well others will be "
            "recognised cannot be told."
        )
    return parts


def _mean(shares: Sequence[float]) -> float | None:
    return sum(shares) / len(shares) if shares else None


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}"


def _when(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
