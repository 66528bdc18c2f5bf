"""The table from errors to messages, advice and exit codes."""

from dataclasses import dataclass
from enum import IntEnum

from headstart.errors import (
    ApiError,
    BackboneInUse,
    BackboneNotFound,
    BackboneNotOpen,
    BackboneUnavailable,
    CaptureNotFound,
    Conflict,
    ExampleNotFound,
    Forbidden,
    HeadstartError,
    InvalidBundle,
    InvalidImage,
    InvalidInput,
    NoImages,
    ProxyError,
    QuotaExceeded,
    RefreshNotFound,
    RequestTooLarge,
    ServerUnreachable,
    StoredQuotaExceeded,
    TaskNotFound,
    Unauthenticated,
    Unavailable,
    UnexpectedReply,
    VersionNotFound,
    WrongRefreshState,
)
from headstart.images.formats import READABLE


class Exit(IntEnum):
    """Exit codes; the command's help states them."""

    DONE = 0
    REFUSED = 1
    MISUSED = 2
    UNREACHABLE = 3
    STOPPED = 130
    CLOSED = 141


class Misused(Exception):
    """The command line cannot be carried out as it was written."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as people and shells see it."""

    exit: Exit
    message: str
    advice: str = ""


_ADVICE: tuple[tuple[type[HeadstartError], Exit, str], ...] = (
    (
        ServerUnreachable,
        Exit.UNREACHABLE,
        "Start a server with `headstart-server`, or name the address of yours with --url or HEADSTART_URL.",
    ),
    (ProxyError, Exit.UNREACHABLE, "A proxy in front of the Headstart server sent this; its log may say more."),
    (UnexpectedReply, Exit.UNREACHABLE, "Check --url and HEADSTART_URL: is that a Headstart server, of this version?"),
    (NoImages, Exit.MISUSED, "A folder to learn from looks like birds/robin/1.jpg, birds/wren/1.jpg: a folder for each class."),
    (RequestTooLarge, Exit.REFUSED, ""),
    (
        Unauthenticated,
        Exit.REFUSED,
        "Give a key with `headstart login`, --token or HEADSTART_TOKEN. Whoever runs the server makes keys.",
    ),
    (Forbidden, Exit.REFUSED, "Whoever runs the server makes keys that allow more."),
    (TaskNotFound, Exit.REFUSED, "`headstart list` shows the tasks there are."),
    (ExampleNotFound, Exit.REFUSED, "`headstart examples TASK` shows the examples of the active version."),
    (CaptureNotFound, Exit.REFUSED, "`headstart review TASK` shows the captures that wait for a decision."),
    (VersionNotFound, Exit.REFUSED, "`headstart history TASK` shows the versions there are."),
    (BackboneNotFound, Exit.REFUSED, "`headstart backbones` shows the bundles in the server's folders."),
    (RefreshNotFound, Exit.REFUSED, "`headstart refreshes` shows the refreshes there are."),
    (WrongRefreshState, Exit.REFUSED, "`headstart refreshes show REFRESH` shows its state."),
    (BackboneNotOpen, Exit.REFUSED, "`headstart backbones open BACKBONE` opens it."),
    (BackboneInUse, Exit.REFUSED, "`headstart backbones` shows how many tasks use each, and the one that new tasks get."),
    (InvalidBundle, Exit.REFUSED, "Mend or replace the bundle on the server, then open it again. Nothing was changed."),
    (
        InvalidImage,
        Exit.REFUSED,
        f"Replace or remove it, or let `create` and `add` leave it out with --skip-broken; {READABLE} are read. "
        "Nothing was changed.",
    ),
    (InvalidInput, Exit.REFUSED, "Correct this and try again. Nothing was changed."),
    (QuotaExceeded, Exit.REFUSED, "Send fewer at a time, or ask whoever runs the server for a larger quota."),
    (
        StoredQuotaExceeded,
        Exit.REFUSED,
        "`headstart delete` and `headstart forget` make room. Whoever runs the server can set a larger quota.",
    ),
    (Conflict, Exit.REFUSED, "Look at the task with `headstart show TASK`, then try again."),
    (
        BackboneUnavailable,
        Exit.REFUSED,
        "`headstart backbones` shows which bundles the server lacks, and how many tasks need them.",
    ),
    (Unavailable, Exit.REFUSED, "The server was tried several times; try again later."),
    (ApiError, Exit.REFUSED, "Try again."),
    (HeadstartError, Exit.REFUSED, ""),
)


def explain(error: HeadstartError | Misused | OSError) -> Failure:
    """The failure that an error is shown as."""
    if isinstance(error, Misused):
        return Failure(Exit.MISUSED, str(error))
    if isinstance(error, OSError):
        return Failure(Exit.MISUSED, f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))
    message = "\n".join([str(error), *getattr(error, "__notes__", [])])
    if isinstance(error, ApiError) and error.status >= 500 and error.request_id:
        message += f"\nThe server's log names this request {error.request_id}."
    code, advice = next((code, advice) for kind, code, advice in _ADVICE if isinstance(error, kind))
    return Failure(code, message, advice)
