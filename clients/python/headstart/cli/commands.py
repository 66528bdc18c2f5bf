"""One function for each sub-command."""

from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, cast

from headstart.cli import tables
from headstart.cli.failures import Exit, Misused
from headstart.cli.output import Output
from headstart.client import Client
from headstart.comparison import Untried
from headstart.errors import NotFound, TaskNotFound
from headstart.images import image_files, labelled_folder, left_out, printable_path
from headstart.options import Candidate
from headstart.predictions import Unreadable
from headstart.replies import Task


def create(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart create NAME FOLDER`"""
    examples = labelled_folder(args.folder)
    unused = _unused(args.folder, examples)
    broken = unused.__setitem__ if args.skip_broken else None
    with output.progress("Learning", len(examples)) as advance:
        task = client.create_task(args.name, examples, broken=broken, progress=advance)
    output.answer(task.raw, lambda: tables.changed(task, "Created"))
    _tell_unused(unused, output)
    return Exit.DONE


def add(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart add TASK FOLDER`"""
    examples = labelled_folder(args.folder)
    found = find(client, args.task)
    unused = _unused(args.folder, examples)
    broken: dict[str, str] = {}
    with output.progress("Learning", len(examples)) as advance:
        task = client.add_examples(found.id, examples, broken=broken.__setitem__ if args.skip_broken else None, progress=advance)
    output.answer(task.raw, lambda: tables.changed(task, f"Added {len(examples) - len(broken)} examples"))
    _tell_unused(unused | broken, output)
    return Exit.DONE


def predict(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart predict TASK FILE…`"""
    files = _files(args.files, output)
    found = find(client, args.task)
    with output.progress("Looking", len(files)) as advance:
        predictions = client.predict(
            found.id,
            files,
            unknown="ignore" if args.ignore_unknown else "judge",
            mode="transductive" if args.transductive else "inductive",
            progress=advance,
        )
    output.answer(predictions.raw, lambda: tables.predictions(files, predictions))
    if args.transductive and predictions.mode == "inductive":
        output.remark("headstart: each image was judged alone: there are too few images, or enough examples, for them to help.")
    return _unreadable(files, predictions.unreadable, output)


def predict_many(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart predict-many FILE… [--task TASK]…`"""
    files = _files(args.files, output)
    found = [find(client, wanted) for wanted in args.tasks] or list(client.tasks())
    names = {task.id: task.name for task in found}
    with output.progress("Looking", len(files)) as advance:
        answers = client.predict_many(list(names) if args.tasks else "all", files, progress=advance)
    output.answer(answers.raw, lambda: tables.predictions_of_many(files, answers, names))
    for failed in answers.unusable:
        output.remark(f"headstart: {failed.task}: {failed.detail} ({failed.code})")
    read = _unreadable(files, answers.unreadable, output)
    return Exit.REFUSED if answers.unusable else read


def list_tasks(client: Client, args: Namespace, output: Output) -> Exit:  # noqa: ARG001 - every command is called alike
    """`headstart list`"""
    found = list(client.tasks())
    output.answer({"tasks": [task.raw for task in found], "next_cursor": None}, lambda: tables.tasks(found))
    return Exit.DONE


def show(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart show TASK`"""
    task = find(client, args.task)
    output.answer(task.raw, lambda: tables.task(task))
    return Exit.DONE


def quality(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart quality TASK`"""
    found = client.quality(find(client, args.task).id)
    output.answer(found.raw, lambda: tables.quality(found))
    return Exit.DONE


def compare(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart compare TASK [--solver SOLVER]… [--backbone BACKBONE]… [--C C]… [--temperature T]…`"""
    found = client.compare(find(client, args.task).id, _candidates(args))
    output.answer(found.raw, lambda: tables.comparison(found))
    untried = [(number, each) for number, each in enumerate(found.candidates, 1) if isinstance(each, Untried)]
    for number, each in untried:
        output.remark(f"headstart: candidate {number}: {tables.printable(each.detail)} ({each.code})")
    return Exit.REFUSED if untried else Exit.DONE


def history(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart history TASK`"""
    versions = client.versions(find(client, args.task).id)
    output.answer({"versions": [version.raw for version in versions]}, lambda: tables.versions(versions))
    return Exit.DONE


def rollback(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart rollback TASK VERSION`"""
    task = client.activate(find(client, args.task).id, args.version)
    output.answer(task.raw, lambda: tables.changed(task, "Rolled back"))
    return Exit.DONE


def examples(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart examples TASK`"""
    found = list(client.examples(find(client, args.task).id))
    output.answer({"examples": [each.raw for each in found], "next_cursor": None}, lambda: tables.examples(found))
    return Exit.DONE


def forget(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart forget TASK EXAMPLE`"""
    task = find(client, args.task)
    called = f"{tables.printable(args.example)} of {tables.printable(task.name)}"
    if not args.yes and not output.confirm(f"Forget {called}, with every version that was fitted with it, for good?"):
        output.remark("Nothing was forgotten.")
        return Exit.STOPPED
    changed = client.forget_example(task.id, args.example)
    output.answer(changed.raw, lambda: tables.changed(changed, f"Forgot {called}"))
    return Exit.DONE


def delete(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart delete TASK`"""
    task = find(client, args.task)
    called = f"{tables.printable(task.name)} ({task.id})"
    if not args.yes and not output.confirm(f"Delete {called} with all its versions and {task.examples} images, for good?"):
        output.remark("Nothing was deleted.")
        return Exit.STOPPED
    client.delete(task.id)
    output.done(f"Deleted {called}.")
    return Exit.DONE


def list_backbones(client: Client, args: Namespace, output: Output) -> Exit:  # noqa: ARG001 - every command is called alike
    """`headstart backbones`"""
    found = client.backbones()
    output.answer({"backbones": [backbone.raw for backbone in found]}, lambda: tables.backbones(found))
    for backbone in found:
        refuses_new = backbone.default and not backbone.open
        if backbone.unserved_tasks or refuses_new:
            new = " and new tasks" if refuses_new else ""
            output.remark(
                f"headstart: {tables.printable(backbone.id)} is missing or damaged on the server: {backbone.unserved_tasks} "
                f"tasks that use it{new} are refused. Bring its folder back, then `headstart backbones open` it."
            )
    return Exit.DONE


def open_backbone(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart backbones open BACKBONE`"""
    backbone = client.open_backbone(args.backbone)
    output.answer(backbone.raw, lambda: tables.backbones([backbone]))
    return Exit.DONE


def make_default(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart backbones default BACKBONE`"""
    backbone = client.make_default(args.backbone)
    output.answer(backbone.raw, lambda: tables.backbones([backbone]))
    return Exit.DONE


def close_backbone(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart backbones close BACKBONE`"""
    client.close_backbone(args.backbone)
    output.done(f"Closed {tables.printable(args.backbone)}.")
    return Exit.DONE


def _candidates(args: Namespace) -> list[Candidate] | None:
    """Every combination of the values that the command line gives; None if it gives none."""
    given: dict[str, list[Any]] = {name: getattr(args, name) for name in ("backbone", "solver", "C", "temperature")}
    given = {name: values for name, values in given.items() if values}
    if not given:
        return None
    found: list[Candidate] = []
    for values in product(*given.values()):
        options = dict(zip(given, values, strict=True))
        backbone = options.pop("backbone", None)
        found.append(cast("Candidate", {"options": options} if backbone is None else {"backbone": backbone, "options": options}))
    return found


def _files(paths: Iterable[Path], output: Output) -> list[Path]:
    """Every image that the command line names, those in folders by path; tells of the other files in folders."""
    found: list[Path] = []
    for path in paths:
        images = image_files(path) if path.is_dir() else [path]
        if path.is_dir():
            _tell_unused({printable_path(file): reason for file, reason in left_out(path, images).items()}, output)
        found += images
    return found


def _unused(folder: Path, examples: Sequence[tuple[str, Path]]) -> dict[str, str]:
    """The visible files of a folder that are no examples, and why."""
    used = [path for _, path in examples]
    return {printable_path(path): reason for path, reason in left_out(folder, used).items()}


def _tell_unused(unused: Mapping[str, str], output: Output) -> None:
    for path, reason in unused.items():
        output.remark(f"headstart: left out {tables.printable(path)}: {reason}")


def _unreadable(files: Sequence[Path], unreadable: Mapping[int, Unreadable], output: Output) -> Exit:
    """Tells which images could not be read."""
    for position, image in unreadable.items():
        output.remark(f"headstart: {tables.printable(str(files[position]))}: {image.detail} ({image.code})")
    if unreadable:
        output.remark(f"{len(unreadable)} of {len(files)} images could not be read; the others are answered.")
    return Exit.REFUSED if unreadable else Exit.DONE


def find(client: Client, wanted: str) -> Task:
    """The task with this id, or else the only one with this name.

    Raises:
        Misused: several have the name.
        TaskNotFound: none has.
    """
    if wanted.startswith("task_"):
        try:
            return client.task(wanted)
        except NotFound:
            pass  # a name may look like an id
    match [task for task in client.tasks() if task.name == wanted]:
        case [task]:
            return task
        case []:
            raise TaskNotFound(404, "task_not_found", f"there is no task with the id or the name {wanted!r}")
        case several:
            ids = "\n".join(f"  {task.id}" for task in several)
            raise Misused(f"{len(several)} tasks are called {wanted!r}; say which by its id:\n{ids}")
