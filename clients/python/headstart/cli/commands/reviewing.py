"""The commands that put captured predictions right."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Literal

from headstart.cli import finding
from headstart.cli.failures import Exit, Misused
from headstart.cli.output import Output
from headstart.cli.tables.captures import captures_table
from headstart.cli.tables.tasks import changed_task
from headstart.client import Client

_KEEPS = ("none", "uncertain", "all")
_ORDERS = ("most-useful", "newest", "unknown")


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds these commands; `command` adds one."""
    capturing = command(
        "capture",
        capture,
        "say which predictions of a task are kept for review, and show it",
        "headstart capture birds --keep uncertain --limit 500 --days 14",
    )
    finding.add_task(capturing)
    capturing.add_argument(
        "--keep", choices=_KEEPS, help="uncertain: unknown images, and labels that are hardly likelier than others"
    )
    capturing.add_argument("--limit", metavar="N", type=int, help="most captures; the oldest leaves first")
    capturing.add_argument("--days", metavar="N", type=int, help="age at which a capture leaves")
    capturing.add_argument(
        "--notify", metavar="N", type=_number_or_never, help="number of captures at which an event tells that they wait; or never"
    )

    reviewing = command(
        "review",
        review,
        "list captured predictions that wait for a decision, or decide about them",
        "headstart review birds\n  headstart review birds --label wren=prediction_01... --discard prediction_01...",
    )
    finding.add_task(reviewing)
    reviewing.add_argument("--order", choices=_ORDERS, default=_ORDERS[0], help="of the list (default: %(default)s)")
    reviewing.add_argument(
        "--limit", metavar="N", type=int, default=20, help="entries of the list, at most 100 (default: %(default)s)"
    )
    reviewing.add_argument(
        "--label",
        metavar="LABEL=ID",
        action="append",
        default=[],
        dest="labels",
        help="make this capture an example of a class, existing or new; may be repeated; all decisions make one version. Repeat "
        "it for one capture where an image may have several labels",
    )
    reviewing.add_argument(
        "--none-of-these",
        metavar="ID",
        action="append",
        default=[],
        help="keep this capture as an image of none of the classes; may be repeated",
    )
    reviewing.add_argument(
        "--discard", metavar="ID", action="append", default=[], help="remove this capture for good; may be repeated"
    )

    correcting = command(
        "correct",
        correct,
        "make the image of a remembered prediction an example of its right class",
        "headstart correct birds prediction_01... wren",
    )
    finding.add_task(correcting)
    correcting.add_argument(
        "prediction", metavar="PREDICTION", help="its id, from `headstart predict --remember` or `headstart review`"
    )
    of_several = "the class that its image belongs to, existing or new; all its labels where an image may have several"
    correcting.add_argument("labels", metavar="LABEL", nargs="*", help=of_several)
    correcting.add_argument("--none-of-these", action="store_true", help="it belongs to none of the classes")


def capture(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart capture TASK [--keep KEEP] [--limit N] [--days N] [--notify N]`"""
    found = finding.task(client, args.task)
    given = {name: getattr(args, name) for name in ("keep", "limit", "days", "notify") if getattr(args, name) is not None}
    if given:
        found = client.set_capture(found.id, **given)
    now = found.capture
    told = f" An event tells when there are {now.notify}." if now.notify else ""
    output.answer(found.raw, lambda: f"Keeps {now.keep}, at most {now.limit} captures, each for {now.days} days.{told}")
    return Exit.DONE


def review(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart review TASK [--order ORDER] [--limit N] [--label LABEL=ID]… [--none-of-these ID]… [--discard ID]…`"""
    given: dict[str, list[str]] = {id_: [] for id_ in args.none_of_these}
    for id_, label in map(_labelled, args.labels):
        if id_ in args.none_of_these:
            raise Misused(f"{id_} has a --label and is --none-of-these")
        given.setdefault(id_, []).append(label)
    found = finding.task(client, args.task)
    labels = {id_: finding.label_for(found, each) for id_, each in given.items()}
    if labels or args.discard:
        task = client.captures.resolve(found.id, labels, discard=args.discard)
        decided = len(labels) + len(args.discard)
        told = f"Decided about {decided} capture{'' if decided == 1 else 's'}"
        output.answer(task.raw, lambda: changed_task(task, told))
        return Exit.DONE
    page = client.captures.list(found.id, order=args.order, limit=args.limit)
    output.answer(page.raw, lambda: captures_table(page))
    shown = sum(len(each.ids) for each in page.captures)
    left_out = f"; left out: {page.duplicates} like an example, {page.other_backbone} of another backbone"
    output.remark(f"{shown} of {page.total} captures{left_out if page.duplicates or page.other_backbone else ''}.")
    return Exit.DONE


def correct(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart correct TASK PREDICTION LABEL…` and `headstart correct TASK PREDICTION --none-of-these`"""
    if bool(args.labels) == args.none_of_these:
        raise Misused("give either a LABEL or --none-of-these")
    found = finding.task(client, args.task)
    task = client.correct(found.id, args.prediction, finding.label_for(found, args.labels))
    output.answer(task.raw, lambda: changed_task(task, "Corrected a prediction"))
    return Exit.DONE


def _number_or_never(text: str) -> int | Literal["never"]:
    return "never" if text == "never" else int(text)


def _labelled(text: str) -> tuple[str, str]:
    """The id and the label of `LABEL=ID`.

    Raises:
        Misused: it is of another form.
    """
    label, equals, capture = text.rpartition("=")
    if not equals or not label or not capture:
        raise Misused(f"--label {text!r} is not of the form LABEL=ID, such as wren=prediction_01...")
    return capture, label
