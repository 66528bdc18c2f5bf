"""The commands about tasks and their versions."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from headstart.cli import finding
from headstart.cli.commands.saving import safe
from headstart.cli.failures import Exit, Misused
from headstart.cli.output import Output
from headstart.cli.tables.tasks import changed_task, task_table, tasks_table, versions_table
from headstart.cli.tables.text import printable
from headstart.client import Client


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds these commands; `command` adds one."""
    command("list", list_tasks, "list the tasks, the newest first", "headstart list --json")
    finding.add_task(command("show", show, "show a task with its classes", "headstart show birds"))
    finding.add_task(command("history", history, "list a task's versions, the newest first", "headstart history birds"))

    rolling_back = command("rollback", rollback, "make another version of a task the active one", "headstart rollback birds 3")
    finding.add_task(rolling_back)
    rolling_back.add_argument("version", metavar="VERSION", type=int, help="a version that `headstart history` lists")

    renaming = command("rename", rename, "give a task another name; its id stays", "headstart rename birds garden-birds")
    finding.add_task(renaming)
    renaming.add_argument("name", metavar="NAME", help="the new name, which no other task has")

    archiving = command(
        "archive", archive, "save a task as a zip with a folder per class, its head in it", "headstart archive birds birds.zip"
    )
    finding.add_task(archiving)
    archiving.add_argument(
        "file", metavar="FILE", nargs="?", help="a new file (default: the task's name and .zip, in this folder)"
    )

    deleting = command("delete", delete, "remove a task with all its images", "headstart delete birds")
    finding.add_task(deleting)
    deleting.add_argument("--yes", action="store_true", help="do not ask")


def list_tasks(client: Client, args: Namespace, output: Output) -> Exit:  # noqa: ARG001 - every command is called alike
    """`headstart list`"""
    found = list(client.tasks())
    output.answer({"tasks": [task.raw for task in found], "next_cursor": None}, lambda: tasks_table(found))
    return Exit.DONE


def show(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart show TASK`"""
    task = finding.task(client, args.task)
    output.answer(task.raw, lambda: task_table(task))
    return Exit.DONE


def history(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart history TASK`"""
    versions = client.versions(finding.task(client, args.task).id)
    output.answer({"versions": [version.raw for version in versions]}, lambda: versions_table(versions))
    return Exit.DONE


def rollback(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart rollback TASK VERSION`"""
    task = client.activate(finding.task(client, args.task).id, args.version)
    output.answer(task.raw, lambda: changed_task(task, "Rolled back"))
    return Exit.DONE


def rename(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart rename TASK NAME`"""
    task = finding.task(client, args.task)
    finding.refuse_twin(client, args.name, "Choose another name.", besides=task.id)
    renamed = client.rename(task.id, args.name)
    output.answer(renamed.raw, lambda: f"{printable(task.name)} is called {printable(renamed.name)} now.")
    return Exit.DONE


def archive(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart archive TASK [FILE]`"""
    task = finding.task(client, args.task)
    file = Path(args.file or f"{safe(task.name)}.zip")
    if file.exists():
        raise Misused(f"{file} exists; name a new file, so that nothing is overwritten")
    client.archive(task.id, file)
    output.answer(
        {"task": task.id, "file": str(file)}, lambda: f"Saved version {task.version} of {printable(task.name)} to {file}."
    )
    return Exit.DONE


def delete(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart delete TASK`"""
    task = finding.task(client, args.task)
    called = f"{printable(task.name)} ({task.id})"
    if not args.yes and not output.confirm(
        f"Delete {called} with all its versions and {task.examples + task.negatives} images, for good?"
    ):
        output.remark("Nothing was deleted.")
        return Exit.STOPPED
    client.delete(task.id)
    output.done(f"Deleted {called}.")
    return Exit.DONE
