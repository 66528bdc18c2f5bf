"""`headstart refresh` and `headstart refreshes`: start, watch and steer refreshes."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from headstart.cli import finding
from headstart.cli.failures import Exit
from headstart.cli.output import Output
from headstart.cli.tables.refreshes import pace, refresh_table, refreshed_tasks_table, refreshes_table
from headstart.client import Client
from headstart.replies.refreshes import Refresh

_LOOK_SECONDS = 0.25


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds these commands; `command` adds one."""
    moving = command(
        "refresh",
        refresh,
        "move tasks onto another bundle; a task stays if its accuracy would fall too far or cannot be judged",
        "headstart refresh birds@2 --max-drop 0.02",
    )
    moving.add_argument("backbone", metavar="BACKBONE", help="name@version of the bundle to move to")
    finding.add_tasks(moving)
    drop = (
        "how far a task's accuracy may fall, as a share; a task that would fall further stays; 1 moves every task "
        "(default %(default)s)"
    )
    moving.add_argument("--max-drop", metavar="SHARE", type=float, default=0.02, help=drop)

    summary = "list the refreshes; watch, pause, resume, cancel or roll back one"
    refreshes = command("refreshes", list_refreshes, summary, "headstart refreshes follow refresh_01")
    actions = refreshes.add_subparsers(title="instead of listing", metavar="ACTION")
    for name, run, does in (
        ("show", show, "show the progress of a refresh, and its tasks before and after"),
        ("tasks", tasks, "list every task of a refresh with its outcome"),
        ("follow", follow, "watch a refresh until it ends"),
        ("pause", pause, "pause a refresh"),
        ("resume", resume, "go on with a paused refresh"),
        ("cancel", cancel, "cancel a refresh; tasks that it moved stay moved"),
        ("rollback", rollback, "return every task that a refresh moved"),
    ):
        action = command(name, run, does, f"headstart refreshes {name} refresh_01", actions)
        action.add_argument("refresh", metavar="REFRESH", help="the id of a refresh; `headstart refreshes` lists them")


def refresh(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart refresh BACKBONE [--task TASK]… [--max-drop SHARE]`"""
    tasks = [finding.task(client, wanted).id for wanted in args.tasks] or "all"
    return _follow(client, client.refreshes.start(args.backbone, tasks, max_drop=args.max_drop), output)


def list_refreshes(client: Client, args: Namespace, output: Output) -> Exit:  # noqa: ARG001 - every command is called alike
    """`headstart refreshes`"""
    found = list(client.refreshes.list())
    output.answer({"refreshes": [each.raw for each in found], "next_cursor": None}, lambda: refreshes_table(found))
    return Exit.DONE


def show(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart refreshes show REFRESH`"""
    return _report(client, client.refreshes.get(args.refresh), output)


def tasks(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart refreshes tasks REFRESH`"""
    found = list(client.refreshes.tasks(args.refresh))
    output.answer({"tasks": [each.raw for each in found], "next_cursor": None}, lambda: refreshed_tasks_table(found))
    return Exit.DONE


def follow(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart refreshes follow REFRESH`"""
    return _follow(client, client.refreshes.get(args.refresh), output)


def pause(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart refreshes pause REFRESH`"""
    return _report(client, client.refreshes.pause(args.refresh), output)


def resume(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart refreshes resume REFRESH`"""
    return _follow(client, client.refreshes.resume(args.refresh), output)


def cancel(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart refreshes cancel REFRESH`"""
    return _report(client, client.refreshes.cancel(args.refresh), output)


def rollback(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart refreshes rollback REFRESH`"""
    return _follow(client, client.refreshes.rollback(args.refresh), output)


def _follow(client: Client, begun: Refresh, output: Output) -> Exit:
    """Shows the progress of a refresh until the server stops working on it, then its outcome."""
    now = begun
    doing = "Returning" if begun.state == "rolling_back" else "Moving"
    try:
        with output.following(doing) as tell:
            while now.at_work:
                tell(now.images_done, now.images, pace(now))
                time.sleep(_LOOK_SECONDS)
                now = client.refreshes.get(begun.id)
    except KeyboardInterrupt:
        output.remark(f"Stopped watching; the server goes on. To watch again: headstart refreshes follow {begun.id}")
        output.remark("`headstart refreshes` can also pause or cancel it and, once it has ended, roll it back.")
        return Exit.STOPPED
    return _report(client, now, output)


def _report(client: Client, found: Refresh, output: Output) -> Exit:
    output.answer(found.raw, lambda: refresh_table(found, list(client.refreshes.tasks(found.id))))
    failed = found.state == "failed" or found.tasks.get("failed") or found.tasks.get("not_returned")
    return Exit.REFUSED if failed else Exit.DONE
