"""`headstart-server`: reads the settings, opens everything, and serves until a signal stops it.

`headstart-server keys` makes and revokes API keys instead, `quotas` sets quotas, `audit` prints who did what,
and `migrate` copies the whole store into another database.
"""
# ruff: noqa: E402

from server.starting import leave_when_told

leave_when_told()  # before the imports that follow, which take a second or more

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from models.console import print_anything
from server.listening import NotListening, check_address
from server.logs import configure_logging
from server.seat import take_seat
from server.settings import InvalidSettings, Settings, load_settings

_COMMANDS = {"keys", "quotas", "audit", "migrate"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the server, one of its processes, or one of the commands.

    Returns:
        The exit status of the server: 0 after a clean stop, 1 if it could not start, 2 for invalid settings.
    """
    print_anything()
    arguments = sys.argv[1:] if argv is None else argv
    if arguments and arguments[0] in _COMMANDS:
        name = arguments[0]
        command: Callable[[Sequence[str]], int] = getattr(import_module(f"server.commands.{name}"), f"{name}_command")
        return command(arguments[1:])
    try:
        return _serve(load_settings(arguments))
    except InvalidSettings as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 2
    except NotListening as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 1


def _serve(settings: Settings) -> int:
    """Serves, or starts the processes that do. That program must be small, so it does not import what they need."""
    seat = take_seat()
    if seat is None:
        check_address(settings)
        if settings.processes > 1:
            from server.supervisor import supervise

            configure_logging(settings, "supervisor")
            return supervise(settings)
    elif seat.runs_engines:
        from server.device import run_device

        return run_device(settings, seat)
    from server.serving import serve

    return serve(settings, seat)


if __name__ == "__main__":
    sys.exit(main())
