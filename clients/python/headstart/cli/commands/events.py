"""`headstart events`: the events of tasks, up to now or on and on."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from time import sleep

from headstart.cli.failures import Exit
from headstart.cli.output import Output
from headstart.cli.tables.events import event_line, events_table
from headstart.client import Client
from headstart.errors import ProxyError, ServerUnreachable, Unavailable
from headstart.replies.events import Event, EventPage

_LOOK_SECONDS = 2.0
_MOST = 1000  # of one request


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds this command; `command` adds one."""
    telling = command(
        "events",
        events,
        "list what happened to tasks: new versions, rollbacks, falls of quality, waiting captures, deletions",
        "headstart events --follow --after latest",
    )
    telling.add_argument(
        "--after", metavar="ID", help="list only what followed this event; latest: nothing that has happened before now"
    )
    telling.add_argument(
        "--follow", action="store_true", help="go on listing what happens, until Ctrl-C; with --json, an event in each line"
    )


def events(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart events [--after ID] [--follow]`"""
    if args.follow:
        return _follow(client, args.after, output)
    found: list[Event] = []
    page = client.events(after=args.after, limit=_MOST)
    missed = page.missed
    _remark_missed(page, output)
    while page.events:
        found += page.events
        page = client.events(after=page.next, limit=_MOST)
    body = {"events": [event.raw for event in found], "next": page.next, "missed": missed}
    output.answer(body, lambda: events_table(found))
    if not args.json:
        output.remark(f"What follows: headstart events --after {page.next}")
    return Exit.DONE


def _follow(client: Client, after: str | None, output: Output) -> Exit:
    """Prints a line for each event, as JSON if that is wanted. A server that is started again is waited for."""
    page = client.events(after=after, limit=_MOST)
    answers = True
    try:
        while True:
            if answers:
                _remark_missed(page, output)
                for event in page.events:
                    output.line(json.dumps(event.raw) if output.as_json else event_line(event))
            if not (answers and page.events):
                sleep(_LOOK_SECONDS)
            try:
                page = client.events(after=page.next, limit=_MOST)
            except (ProxyError, ServerUnreachable, Unavailable) as error:
                if answers:
                    output.remark(f"headstart: {error}; waiting for the server")
                answers = False
            else:
                answers = True
    except KeyboardInterrupt:
        output.remark(f"Stopped. To go on: headstart events --follow --after {page.next}")
        return Exit.STOPPED


def _remark_missed(page: EventPage, output: Output) -> None:
    if page.missed:
        output.remark("headstart: events before these have left, or the server's data was put back to an earlier state.")
