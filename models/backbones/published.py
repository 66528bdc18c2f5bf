"""Whether a file that others publish can be fetched at all, told within seconds.

The libraries that download weights try again for a minute, or wait for as long as the resolver does. Offline that is time lost.
"""

import threading
import urllib.error
import urllib.request
from http import client
from typing import Any
from urllib.parse import urlsplit

DEADLINE = 2.5  # seconds


class UnreachableError(Exception):
    """No server answers for an address; the message says why."""


def check_reachable(url: str, deadline: float = DEADLINE) -> None:
    """Asks for `url` without fetching it; any answer will do, a refusal too, which the download then reports.

    Raises:
        UnreachableError: there is none within `deadline` seconds.
    """
    problems: list[str] = []
    # A thread, since the resolver knows no time limit.
    asking = threading.Thread(target=_ask, args=(url, 2 * deadline, problems), daemon=True)
    asking.start()
    asking.join(deadline)
    if asking.is_alive():
        raise UnreachableError(f"{urlsplit(url).hostname} does not answer within {deadline:g} s")
    if problems:
        raise UnreachableError(problems[0])


def _ask(url: str, timeout: float, problems: list[str]) -> None:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310  # The address is a library's.
    try:
        urllib.request.build_opener(_Staying).open(request, timeout=timeout).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        problems.append(f"{urlsplit(url).hostname}: {getattr(reason, 'strerror', None) or reason}")


class _Staying(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: that there is one is an answer."""

    def redirect_request(self, *_: Any) -> None:
        return None
