"""The keys that `headstart login` keeps, by server, in a file that its owner alone may read."""

import json
import os
from pathlib import Path


def kept_key(url: str) -> str | None:
    """Returns the key that is kept for a server; None if there is none."""
    return _read().get(url)


def keep_key(url: str, key: str | None) -> None:
    """Keeps a key for a server in the place of another, or none for None. Raises OSError if the file cannot be written."""
    keys = {**_read(), url: key}
    path = _path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({server: kept for server, kept in keys.items() if kept is not None}, file)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _read() -> dict[str, str]:
    """The keys by server; none if the file is missing or not ours."""
    try:
        found = json.loads(_path().read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _path() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "headstart" / "keys.json"
