"""The entry of the `headstart` command.

It stands outside the package: importing that takes a quarter of a second, and Ctrl-C meanwhile shall print no traceback.
"""

import sys


def main() -> int:
    """Runs one command and returns its exit code."""
    try:
        from headstart.__main__ import main as run

        return run()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
