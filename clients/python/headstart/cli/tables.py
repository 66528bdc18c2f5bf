"""The API's answers as people read them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from headstart.comparison import Comparison, Trial
from headstart.predictions import ManyPredictions, Predictions, Unreadable
from headstart.quality import Interval, Prior, Quality
from headstart.refreshes import Refresh, RefreshedTask
from headstart.replies import Backbone, Example, Task, Version


def tasks(found: Sequence[Task]) -> RenderableType:
    """One line for each task."""
    if not found:
        return "There are no tasks yet. `headstart create NAME FOLDER` makes one of a folder with a folder per class."
    table = _table("task", "name", "classes", "examples", "changed", numbers={"classes", "examples"})
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
    classes = _table("class", "examples", numbers={"examples"})
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
    table = _table("example", "class", "type", "bytes", "added", numbers={"bytes"})
    for each in found:
        table.add_row(each.id, printable(each.label), each.media_type, str(each.bytes), _when(each.created_at))
    return table


def quality(found: Quality) -> RenderableType:
    """How good a task is, class by class, and what to look at; what there is none of is left out."""
    parts: list[RenderableType] = [_verdict(found)]
    if found.prior:
        parts.append(_expected(found.prior))
    parts += _alike(found)
    classes = _table(
        "class", "examples", "judged", "recognised", "accuracy", "95 %", numbers={"examples", "judged", "recognised"}
    )
    for each in found.classes:
        numbers = (str(each.examples), str(each.judged), str(each.recognised))
        classes.add_row(printable(each.label), *numbers, _percent(each.accuracy), _range(each.interval))
    confusions = _table("class", "taken for", "examples", numbers={"examples"})
    for pair in found.confusions:
        confusions.add_row(printable(pair.label), printable(pair.recognised_as), str(pair.examples))
    suspects = _table("example", "class", "seems to be", "sure", numbers={"sure"})
    for suspect in found.suspects:
        suspects.add_row(suspect.example, printable(suspect.label), printable(suspect.suggested), f"{suspect.confidence:.1%}")
    duplicates = _table("example", "class", "same as", "its class", "alike", numbers={"alike"})
    for twin in found.duplicates:
        duplicates.add_row(twin.example, printable(twin.label), twin.of, printable(twin.of_label), f"{twin.similarity:.1%}")
    parts += [table for table in (classes, confusions, suspects, duplicates) if table.row_count]
    return Group(*parts, printable(found.advice))


def comparison(found: Comparison) -> RenderableType:
    """One line for the active version and for each candidate, the best marked, and what to make of it."""
    columns = ("", "backbone", "solver", "C", "T", "recognised", "difference (95 %)", "log-loss")
    table = _table(*columns, numbers={"C", "T", "recognised", "log-loss"})
    for number, each in enumerate([found.current, *found.candidates]):
        place = f"{number or 'active'}{', best' if number == found.raw['best'] else ''}"
        table.add_row(place, printable(each.backbone), *(_trial(each) if isinstance(each, Trial) else ["cannot be tried"]))
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
    table = _table("version", "", "change", "classes", "examples", "backbone", "made", numbers={"version", "classes", "examples"})
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
    table = _table("backbone", "", "engine", "tasks", "embedding", "trained on", numbers={"tasks", "embedding"})
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
    table = _table("refresh", "to", "state", "tasks", "moved", "begun", numbers={"tasks", "moved"})
    for each in found:
        numbers = (str(sum(each.tasks.values())), str(each.tasks.get("moved", 0)))
        table.add_row(each.id, printable(each.to), each.state.replace("_", " "), *numbers, _when(each.created_at))
    return table


def refresh(found: Refresh, tasks: Sequence[RefreshedTask]) -> RenderableType:
    """How good tasks were before and after, by what became of them; and each task with the reason."""
    reason = f": {printable(found.reason.detail)}" if found.reason else pace(found)
    parts: list[RenderableType] = [f"Refresh {found.id} onto {printable(found.to)}: {found.state.replace('_', ' ')}{reason}."]
    table = _table("", "tasks", "judged", "before", "after", numbers={"tasks", "judged", "before", "after"})
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
    table = _table("task", "outcome", "version", "judged by", "before", "after", "why", numbers={"version", "before", "after"})
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


def predictions(files: Iterable[Path], answers: Predictions) -> RenderableType:
    """What every image was called, how sure that is, and what it would be otherwise; for a stranger, that it is none of these."""
    table = _table("image", "label", "sure", "or else", "nearest example", numbers={"sure"})
    for file, result in zip(files, answers, strict=True):
        if isinstance(result, Unreadable):
            table.add_row(printable(str(file)), "unreadable", "", printable(result.detail), "")
            continue
        (first, sure), *others = [(printable(label), f"{share:.1%}") for label, share in result.scores.items()]
        nearest = f"{result.nearest[0].example} ({result.nearest[0].similarity:.2f})" if result.nearest else ""
        if result.known is False:
            table.add_row(printable(str(file)), "none of these", "", f"{first} {sure}", nearest)
        else:
            table.add_row(printable(str(file)), first, sure, " ".join(others[0]) if others else "", nearest)
    return table


def predictions_of_many(files: Iterable[Path], answers: ManyPredictions, names: Mapping[str, str]) -> RenderableType:
    """What every image was called by every task, image by image."""
    table = _table("image", "name", "task", "label", "sure", numbers={"sure"})
    usable = [answer for answer in answers if isinstance(answer, Predictions)]
    for position, file in enumerate(files):
        for answer in usable:
            result = answer[position]
            label, sure = (
                ("unreadable", "") if isinstance(result, Unreadable) else (printable(result.label), f"{result.probability:.1%}")
            )
            name = printable(names.get(answer.task, ""))  # It may have been created since the names were read.
            table.add_row(printable(str(file)), name, answer.task, label, sure)
    return table


def printable(text: str) -> str:
    """Text of others without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _table(*columns: str, numbers: set[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        # Folded and never cut short; an id stays on one line, to be copied.
        table.add_column(
            column,
            justify="right" if column in numbers else "left",
            overflow="fold",
            no_wrap=column in {"task", "example", "same as", "refresh"},
        )
    return table


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
