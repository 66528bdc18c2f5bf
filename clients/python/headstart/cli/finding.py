"""Finds the tasks, examples and image files that a command line names."""

from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from headstart.cli.failures import Misused
from headstart.cli.output import Output
from headstart.cli.tables.tasks import task_summary
from headstart.cli.tables.text import class_names, printable
from headstart.client import Client
from headstart.errors import ExampleNotFound, NotFound, TaskNotFound
from headstart.images.folders import image_files, left_out, printable_path
from headstart.labels import clean_label
from headstart.replies.tasks import Example, Task

TASK = "the task's id, or its name if no other task has it"
CLASSIFIER = ".safetensors"
"""The end of a file's name by which `document` tells it from a task."""


def add_task(parser: ArgumentParser) -> None:
    """The argument `TASK`."""
    parser.add_argument("task", metavar="TASK", help=TASK)


def add_tasks(parser: ArgumentParser) -> None:
    """`--task TASK`, which may be repeated; without it, all tasks."""
    parser.add_argument(
        "--task",
        metavar="TASK",
        action="append",
        default=[],
        dest="tasks",
        help=f"{TASK}; may be repeated (default: every task)",
    )


def task(client: Client, wanted: str) -> Task:
    """The task with this id, or else the only task with this name.

    Raises:
        Misused: several tasks have the name.
        TaskNotFound: no task has this id or name.
    """
    if wanted.startswith("task_"):
        try:
            return client.task(wanted)
        except NotFound:
            pass  # A name may look like an id.
    match called(client, wanted):
        case [found]:
            return found
        case []:
            raise TaskNotFound(404, "task_not_found", f"there is no task with the id or the name {wanted!r}")
        case several:
            which = "\n".join(f"  {task_summary(each)}" for each in several)
            raise Misused(
                f"{len(several)} tasks are called {wanted!r}; give the id of one:\n{which}\n"
                f"To give it a name of its own: headstart rename {several[0].id} NAME"
            )


def document(client: Client, wanted: str) -> bytes:
    """The active version of a task as the server saves it, or what the file holds that `headstart classifier` made of it.

    Raises:
        Misused, TaskNotFound: as `task`.
        OSError: the file cannot be read.
    """
    return Path(wanted).read_bytes() if wanted.endswith(CLASSIFIER) else client.classifier(task(client, wanted).id)


def called(client: Client, name: str) -> list[Task]:
    """The tasks with this name, the newest first."""
    wanted = clean_label(name)
    return [each for each in client.tasks() if clean_label(each.name) == wanted]


def refuse_twin(client: Client, name: str, way_out: str, besides: str | None = None) -> None:
    """Refuses a name that another task has.

    Args:
        way_out: says what to do instead.
        besides: the id of the task that may have the name.

    Raises:
        Misused: another task has this name.
    """
    if taken := [each for each in called(client, name) if each.id != besides]:
        which = "\n".join(f"  {task_summary(each)}" for each in taken)
        raise Misused(f"a task called {name!r} exists already:\n{which}\n{way_out}")


def example(client: Client, of: Task, wanted: str) -> str:
    """The id of an example of the active version, from its id, its file's name, or CLASS/FILE at the end of a path.

    Raises:
        Misused: several examples have the name.
        ExampleNotFound: no example has this name.
    """
    if wanted.startswith("example_"):
        return wanted
    match [each for each in client.examples(of.id) if _is_called(each, wanted)]:
        case [found]:
            return found.id
        case []:
            detail = f"{printable(of.name)} has no example with the id or the file name {wanted!r}"
            raise ExampleNotFound(404, "example_not_found", detail)
        case several:
            which = "\n".join(f"  {each.id}  {class_names(each.classes)}" for each in several)
            raise Misused(f"{len(several)} examples are called {wanted!r}; give one as CLASS/FILE, or its id:\n{which}")


def label_for(task: Task, labels: Sequence[str]) -> str | list[str] | None:
    """The labels that the command line gives an image, as the task takes them: one or none, or where it may have several a list.

    Raises:
        Misused: there are several, and an image of the task has one.
    """
    if task.labels == "multiple":
        return list(labels)
    if len(labels) > 1:
        raise Misused(f"an image of {printable(task.name)} has one label, not {len(labels)}")
    return labels[0] if labels else None


def images(paths: Iterable[Path], output: Output) -> list[Path]:
    """Every image that the command line names, those in a folder by path. Lists a folder's other files."""
    found: list[Path] = []
    for path in paths:
        inside = image_files(path) if path.is_dir() else [path]
        if path.is_dir():
            tell_unused({printable_path(file): reason for file, reason in left_out(path, inside).items()}, output)
        found += inside
    return found


def unused(folder: Path, examples: Sequence[tuple[str | None, Path]]) -> dict[str, str]:
    """The visible files of a folder that are not among the examples, each with the reason."""
    used = [path for _, path in examples]
    return {printable_path(path): reason for path, reason in left_out(folder, used).items()}


def tell_unused(files: Mapping[str, str], output: Output) -> None:
    for path, reason in files.items():
        output.remark(f"headstart: left out {printable(path)}: {reason}")


def _is_called(each: Example, wanted: str) -> bool:
    name = each.file_name
    if name is None:
        return False
    given, own = PurePath(clean_label(wanted)).parts, PurePath(clean_label(name)).parts
    wholes = [(clean_label(label), *own) for label in each.classes] or [own]
    return any(given == whole[-len(given) :] or given[-len(whole) :] == whole for whole in wholes)
