"""Measurements of this machine that choose what runs, kept in a file so that each start chooses the same."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

_KNOWN = TypeAdapter(dict[str, float])

_log = logging.getLogger(__name__)


def recall(file: Path | None, setting: str, measure: Callable[[], float]) -> float:
    """Returns a measurement, from the file if it has been made in this setting before.

    Args:
        file: made if missing; None to keep nothing.
        setting: everything that the measurement depends on.
    """
    known = _read(file)
    if setting not in known:
        known[setting] = measure()
        if file:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(known, indent=1) + "\n")
            except OSError as error:  # The next start measures again.
                _log.warning("%s: %s", file, error.strerror)
    return known[setting]


def _read(file: Path | None) -> dict[str, float]:
    try:
        return _KNOWN.validate_json(file.read_bytes()) if file else {}
    except (OSError, ValidationError):  # not there yet, or half written
        return {}
