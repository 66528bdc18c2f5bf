"""The streams that commands print to."""

import io
import sys


def print_anything() -> None:
    """Lets any text be printed: characters that a console's encoding lacks are written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
