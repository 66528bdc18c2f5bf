"""`headstart-server`: reads the settings, opens everything, and serves until a signal stops it.

`headstart-server keys` makes and revokes API keys instead, and `headstart-server audit` prints who did what.
"""
# ruff: noqa: E402

from server.starting import leave_when_told

leave_when_told()  # before the imports that follow, which take a second or more

import sys
from collections.abc import Sequence

from models.console import print_anything
from server.listening import NotListening, check_address
from server.logs import configure_logging
from server.seat import take_seat
from server.settings import InvalidSettings, load_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the server, one of its processes, or the command `keys` or `audit`.

    Returns:
        The exit status of the server: 0 after a clean stop, 1 if it could not start, 2 for invalid settings.
    """
    print_anything()
    arguments = sys.argv[1:] if argv is None else argv
    # Each of these programs imports what it needs, since the one that starts the others must be small.
    if arguments[:1] == ["keys"]:
        from server.commands.keys import keys_command

        return keys_command(arguments[1:])
    if arguments[:1] == ["audit"]:
        from server.commands.audit import audit_command

        return audit_command(arguments[1:])
    try:
        settings = load_settings(arguments)
        seat = take_seat()
        if seat is None:
            check_address(settings)
            if settings.processes > 1:
                from server.supervisor import supervise

                configure_logging(settings)
                return supervise(settings)
        from server.serving import serve

        return serve(settings, seat)
    except InvalidSettings as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 2
    except NotListening as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
