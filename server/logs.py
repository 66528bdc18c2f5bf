"""Logs: readable on a terminal, one JSON object per line otherwise. They contain no images, and labels only at debug level."""

import logging
import sys
from datetime import UTC, datetime
from json import JSONEncoder

from server.context import request_id
from server.settings import Settings
from server.tracing import current_span

_EXTRA = ("method", "path", "status", "ms")
_encode = JSONEncoder(ensure_ascii=False).encode


class _Json(logging.Formatter):
    """Lines of JSON.

    Args:
        always: fields of every line.
    """

    def __init__(self, always: dict[str, str]) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **self._always,
            "logger": record.name,
            "request_id": request_id.get(),
            **({} if (span := current_span.get()) is None else {"trace_id": span.trace_id}),
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in _EXTRA if hasattr(record, name)},
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return _encode(entry)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        id_ = request_id.get()
        trace = "" if (span := current_span.get()) is None else f" {span.trace_id}"
        record.suffix = "" if id_ == "-" else f"  [{id_}{trace}]"
        return super().format(record)


def configure_logging(settings: Settings, process: str | None = None) -> None:
    """Sends all logs to standard error in the format that `settings` asks for.

    Args:
        process: the name of this process, which every line then bears.
    """
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    named = f"{process}: " if process else ""
    line = f"%(asctime)s %(levelname)-7s {named}%(message)s%(suffix)s"
    handler.setFormatter(_Text(line, "%H:%M:%S") if text else _Json({"process": process} if process else {}))
    # Facts that no line contains need not be collected for each (Python's logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    # Its lines at info level tell an operator nothing.
    logging.getLogger("alembic").setLevel(logging.WARNING)
