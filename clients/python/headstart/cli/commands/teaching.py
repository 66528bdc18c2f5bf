"""The commands that make a task and that change its examples."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from headstart.cli import finding
from headstart.cli.commands import saving
from headstart.cli.failures import Exit, Misused
from headstart.cli.output import Output
from headstart.cli.tables.tasks import changed_task, examples_table
from headstart.cli.tables.text import class_names, printable
from headstart.client import Client
from headstart.errors import NoImages
from headstart.images.folders import labelled_folder
from headstart.replies.tasks import Task

_EXAMPLE = "the example's file name, such as robin/7.jpg, or its id; `headstart examples TASK` lists both"
_NEGATIVES = "images of none of the classes, or folders of them: they help to tell strangers"
_FOLDER = "a folder with a sub-folder for each class, named after the class, with its images inside"

_CLASS = (
    "the name of a class, once for each; where the server's backbone reads names, a class needs no image, and FOLDER may have "
    "images of some of them"
)


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds these commands; `command` adds one."""
    creating = command(
        "create",
        create,
        "make a classifier from a folder of images, or of class names",
        "headstart create birds photos/birds\n  headstart create pets --class cat --class dog --class 'guinea pig'",
    )
    creating.add_argument("name", metavar="NAME", help="the name of the new task")
    zipped = "a zip of it, such as `headstart archive` saves"
    folder = creating.add_argument(
        "folder", metavar="FOLDER", type=Path, help=f"{_FOLDER}; or {zipped}; with --class it may be left out"
    )
    # By `nargs="?"`, Python 3.11 would not find a folder that stands after an option.
    folder.required = False
    creating.add_argument("--class", dest="classes", metavar="NAME", action="append", default=[], help=_CLASS)
    several = "let an image have any number of labels: one that lies in several folders, the same file, has all of them"
    creating.add_argument("--several-labels", action="store_true", help=several)
    creating.add_argument("--none-of-these", metavar="FOLDER|FILE", nargs="+", default=[], type=Path, help=_NEGATIVES)
    _add_skip_broken(creating)

    adding = command(
        "add",
        add,
        "add examples of existing or new classes; makes a new version, active at once",
        "headstart add birds photos/more\n  headstart add birds --label robin new/1.jpg new/2.jpg\n"
        "  headstart add birds --none-of-these photos/strangers",
    )
    finding.add_task(adding)
    adding.add_argument(
        "files", metavar="FOLDER|FILE", nargs="+", type=Path, help=f"{_FOLDER}; or, with --label, images of one class"
    )
    of_one_kind = adding.add_mutually_exclusive_group()
    of_one_kind.add_argument("--label", metavar="LABEL", help="the class of all these images")
    of_none = "all these images are of none of the classes: they help to tell strangers"
    of_one_kind.add_argument("--none-of-these", action="store_true", help=of_none)
    _add_skip_broken(adding)

    summary = "list a task's examples, the oldest first, or save their images"
    listing = command("examples", examples, summary, "headstart examples birds --save birds-again")
    finding.add_task(listing)
    save = "write the images to a new folder, byte for byte as they were sent, with a sub-folder for each class"
    listing.add_argument("--save", metavar="FOLDER", type=Path, help=save)

    removing = command(
        "remove",
        remove,
        "remove an example from a task; makes a new version, active at once; earlier versions keep it",
        "headstart remove birds robin/7.jpg",
    )
    _add_example(removing)

    relabelling = command(
        "relabel",
        relabel,
        "move an example to another class, existing or new, or to none; makes a new version, active at once",
        "headstart relabel birds robin/7.jpg wren\n  headstart relabel birds robin/7.jpg --none-of-these\n"
        "  headstart relabel scenes beach/7.jpg beach people sunset",
    )
    _add_example(relabelling)
    of_several = "the class that the example belongs to; all its labels where an image may have several"
    relabelling.add_argument("labels", metavar="LABEL", nargs="*", help=of_several)
    relabelling.add_argument("--none-of-these", action="store_true", help="it belongs to none of the classes")

    forgetting = command(
        "forget",
        forget,
        "remove an example from a task and from its history, for good",
        "headstart forget birds robin/7.jpg",
    )
    _add_example(forgetting)
    forgetting.add_argument("--yes", action="store_true", help="do not ask")


def _add_example(parser: ArgumentParser) -> None:
    finding.add_task(parser)
    parser.add_argument("example", metavar="EXAMPLE", help=_EXAMPLE)


def _add_skip_broken(parser: ArgumentParser) -> None:
    parser.add_argument("--skip-broken", action="store_true", help="leave out images that cannot be read, and list them")


def create(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart create NAME [FOLDER] [--class NAME…]` and `headstart create NAME ZIP`"""
    folder: Path | None = args.folder
    zipped = folder if folder is not None and folder.is_file() else None
    _check_suits(args, zipped)
    examples: list[tuple[str | None, Path]] = [] if folder is None or zipped else [*labelled_folder(folder)]
    finding.refuse_twin(
        client,
        args.name,
        "Add to it with `headstart add`, remove it with `headstart delete`, or choose another name.",
    )
    if zipped is not None:
        task = client.create_from_archive(args.name, zipped)
        output.answer(task.raw, lambda: changed_task(task, "Created"))
        return Exit.DONE
    unused = {} if folder is None else finding.unused(folder, examples)
    examples += [(None, file) for file in finding.images(args.none_of_these, output)]
    broken = unused.__setitem__ if args.skip_broken else None
    with output.progress("Learning", len(examples)) as advance:
        task = client.create_task(
            args.name,
            examples,
            classes=args.classes,
            several_labels=args.several_labels,
            broken=broken,
            progress=advance,
        )
    output.answer(task.raw, lambda: changed_task(task, "Created"))
    finding.tell_unused(unused, output)
    return Exit.DONE


def _check_suits(args: Namespace, zipped: Path | None) -> None:
    """Checks that what `create` is given goes together.

    Raises:
        Misused: it does not.
    """
    if args.folder is None and not args.classes:
        raise Misused("give a FOLDER of images, or the names of the classes with --class NAME --class NAME")
    if args.classes and args.several_labels:
        raise Misused("--class is for tasks of one label an image; leave out --several-labels")
    if zipped is not None and (args.classes or args.several_labels or args.none_of_these or args.skip_broken):
        raise Misused("a zip goes alone: --class, --several-labels, --none-of-these and --skip-broken are for a folder")


def add(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart add TASK FOLDER`, `headstart add TASK --label LABEL FILE…` and `headstart add TASK --none-of-these FILE…`"""
    examples, unused = _labelled(args, output)
    found = finding.task(client, args.task)
    broken: dict[str, str] = {}
    with output.progress("Learning", len(examples)) as advance:
        task = client.add_examples(
            found.id,
            examples,
            several_labels=found.labels == "multiple",
            broken=broken.__setitem__ if args.skip_broken else None,
            progress=advance,
        )
    output.answer(task.raw, lambda: changed_task(task, f"Added {_counted(len(examples) - len(broken))}"))
    finding.tell_unused(unused | broken, output)
    return Exit.DONE


def examples(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart examples TASK [--save FOLDER]`"""
    task = finding.task(client, args.task)
    found = list(client.examples(task.id))
    body = {"examples": [each.raw for each in found], "next_cursor": None}
    if args.save is None:
        output.answer(body, lambda: examples_table(found))
        return Exit.DONE
    with output.progress("Saving", len(found)) as advance:
        folders, lost = saving.save(client, task.id, found, args.save, advance)
    saved = f"Saved {_counted(len(found) - len(lost))} to {printable(str(args.save))}, a folder for each class."
    if any(not each.classes for each in found):
        saved += f" Those of none of the classes are in {printable(str(saving.beside(args.save)))}."
    output.answer(body, lambda: saved)
    for label, folder in folders.items():
        if folder != label:
            output.remark(f"headstart: the class {printable(label)} is in the folder {printable(folder)}.")
    if lost:
        output.remark(f"headstart: the server did not keep the images of {_counted(len(lost))}.")
    return Exit.REFUSED if lost else Exit.DONE


def remove(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart remove TASK EXAMPLE`"""
    task = finding.task(client, args.task)
    changed = client.remove_example(task.id, finding.example(client, task, args.example))
    output.answer(changed.raw, lambda: changed_task(changed, f"Removed {_called(task, args.example)}"))
    return Exit.DONE


def relabel(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart relabel TASK EXAMPLE LABEL…` and `headstart relabel TASK EXAMPLE --none-of-these`"""
    if bool(args.labels) == args.none_of_these:
        raise Misused("give either a LABEL or --none-of-these")
    task = finding.task(client, args.task)
    label = finding.label_for(task, args.labels)
    changed = client.relabel_example(task.id, finding.example(client, task, args.example), label)
    where = f"in {class_names(args.labels)}" if args.labels else "of none of the classes"
    what = f"{_called(task, args.example)} is {where} now"
    output.answer(changed.raw, lambda: changed_task(changed, what))
    return Exit.DONE


def forget(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart forget TASK EXAMPLE`"""
    task = finding.task(client, args.task)
    example = finding.example(client, task, args.example)
    called = _called(task, args.example)
    if not args.yes and not output.confirm(f"Forget {called}, with every version that was fitted with it, for good?"):
        output.remark("Nothing was forgotten.")
        return Exit.STOPPED
    changed = client.forget_example(task.id, example)
    output.answer(changed.raw, lambda: changed_task(changed, f"Forgot {called}"))
    return Exit.DONE


def _labelled(args: Namespace, output: Output) -> tuple[list[tuple[str | None, Path]], dict[str, str]]:
    """The examples that the command line names, and the files that are left out with the reason.

    Raises:
        Misused: the command line does not say the classes of the images.
    """
    if args.label is not None or args.none_of_these:
        return [(args.label, file) for file in finding.images(args.files, output)], {}
    if len(args.files) != 1 or args.files[0].is_file():
        raise Misused(
            f"these images have no class; use headstart add {args.task} --label LABEL FILE..., "
            f"headstart add {args.task} FOLDER with a folder for each class, or headstart add {args.task} --none-of-these FILE..."
        )
    try:
        examples: list[tuple[str | None, Path]] = [*labelled_folder(args.files[0])]
    except NoImages as error:
        error.add_note(f"If all its images are of one class: headstart add {args.task} --label LABEL {args.files[0]}")
        raise
    return examples, finding.unused(args.files[0], examples)


def _called(task: Task, example: str) -> str:
    return f"{printable(example)} of {printable(task.name)}"


def _counted(examples: int) -> str:
    return f"{examples} example{'' if examples == 1 else 's'}"
