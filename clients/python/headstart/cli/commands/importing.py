"""`headstart import`: a task from a folder that was exported, here or by another tool."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from headstart.cli import finding
from headstart.cli.commands.archiving import is_saved, zipped_again
from headstart.cli.failures import Exit, Misused
from headstart.cli.output import Output
from headstart.cli.tables.tasks import changed_task
from headstart.cli.tables.text import printable
from headstart.client import Client
from headstart.images.datasets import read_dataset
from headstart.images.other_tools import UnknownFormat
from headstart.replies.tasks import Task


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds this command; `command` adds one."""
    importing = command(
        "import",
        import_,
        "make a classifier from what `headstart export --format archive` or another tool saved",
        "headstart import birds birds-archive\n  headstart import birds label-studio/export.json",
    )
    importing.add_argument("name", metavar="NAME", help="the name of the new task")
    importing.add_argument(
        "source",
        metavar="FOLDER|JSON",
        type=Path,
        help="a folder, or Label Studio's or Custom Vision's JSON beside its images; docs/integrations/export.md lists the forms",
    )
    importing.add_argument("--several-labels", action="store_true", help="let an image have any number of labels")
    importing.add_argument("--skip-broken", action="store_true", help="leave out images that cannot be read, and list them")


def import_(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart import NAME SOURCE`"""
    finding.refuse_twin(client, args.name, "Choose another name, or remove it with `headstart delete`.")
    if is_saved(args.source):
        if args.several_labels or args.skip_broken:
            raise Misused("an archive says itself what its images are; leave out --several-labels and --skip-broken")
        with zipped_again(args.source) as archive:
            task = client.create_from_archive(args.name, archive)
        return _told(task, "an archive", {}, output)
    try:
        found = read_dataset(args.source)
    except UnknownFormat as error:
        raise Misused(str(error)) from error
    if found.several and not args.several_labels:
        raise Misused("some images have several labels; with --several-labels they may")
    broken: dict[str, str] = {}
    with output.progress("Learning", len(found.examples)) as advance:
        task = client.create_task(
            args.name,
            [(labels if args.several_labels else labels[0], image) for labels, image in found.examples],
            several_labels=args.several_labels,
            broken=broken.__setitem__ if args.skip_broken else None,
            progress=advance,
        )
    return _told(task, found.kind, found.left_out | broken, output)


def _told(task: Task, kind: str, left_out: dict[str, str], output: Output) -> Exit:
    output.answer(task.raw, lambda: changed_task(task, f"Imported from {printable(kind)}"))
    finding.tell_unused(left_out, output)
    return Exit.DONE
