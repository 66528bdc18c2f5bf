"""Refreshes and their tasks as tables."""

from collections.abc import Sequence

from rich.console import Group, RenderableType

from headstart.cli.tables.fitting import Column, FittedTable
from headstart.cli.tables.text import percent, printable, when
from headstart.replies.refreshes import Refresh, RefreshedTask


def refreshes_table(found: Sequence[Refresh]) -> RenderableType:
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
        table.add_row(each.id, printable(each.to), each.state.replace("_", " "), *numbers, when(each.created_at))
    return table


def refresh_table(found: Refresh, tasks: Sequence[RefreshedTask]) -> RenderableType:
    """The mean accuracy of a refresh's tasks before and after, by outcome, and each task with the reason."""
    reason = f": {printable(found.reason.detail)}" if found.reason else pace(found)
    parts: list[RenderableType] = [f"Refresh {found.id} onto {printable(found.to)}: {found.state.replace('_', ' ')}{reason}."]
    table = FittedTable((Column(""), *(Column(title, number=True) for title in ("tasks", "judged", "before", "after"))))
    outcomes = [*found.tasks, *(["all"] if len(found.tasks) > 1 else [])]
    for outcome in outcomes:
        those = [task for task in tasks if outcome in {"all", task.outcome}]
        told = [task.accuracy for task in those if task.accuracy and task.accuracy.judged]
        before, after = (percent(_mean([getattr(each, when) for each in told])) for when in ("before", "after"))
        table.add_row(outcome.replace("_", " "), str(len(those)), str(len(told)), before, after)
    if table.row_count:
        parts.append(table)
    if tasks:
        parts.append(refreshed_tasks_table(tasks))
    if found.tasks.get("moved") and not found.at_work:
        parts.append(f"To return the moved tasks: headstart refreshes rollback {found.id}")
    return Group(*parts)


def refreshed_tasks_table(found: Sequence[RefreshedTask]) -> RenderableType:
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
        shares = (percent(told.before), percent(told.after)) if told else ("", "")
        judged_by = told.judged_by if told else ""
        why = printable(each.reason.detail) if each.reason else ""
        table.add_row(each.task, each.outcome.replace("_", " "), str(version or ""), judged_by, *shares, why)
    return table


def pace(found: Refresh) -> str:
    """The pace of a refresh and the time left; empty while they are not known."""
    if found.images_per_second is None or found.seconds_left is None:
        return ""
    minutes, seconds = divmod(round(found.seconds_left), 60)
    return f", {found.images_per_second:.0f} a second, {f'{minutes} min ' if minutes else ''}{seconds} s left"


def _mean(shares: Sequence[float]) -> float | None:
    return sum(shares) / len(shares) if shares else None
