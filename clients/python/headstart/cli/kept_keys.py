"""The keys that `headstart login` keeps, by server: in the system's keyring where there is one, else in a file of mode 0600.

The file tells of either for which servers keys are kept, so that no command asks the keyring in vain.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

_SERVICE = "headstart"


def key_for(url: str, given: str | None) -> str | None:
    """Returns the key to send to a server: the given one, or else the kept one, unless the environment has one."""
    return given if given is not None or os.environ.get("HEADSTART_TOKEN") else kept_key(url)


def kept_key(url: str) -> str | None:
    """Returns the key that is kept for a server; None if there is none, or if the keyring does not give it."""
    kept = _read()
    if url in kept and kept[url] is None and (keyring := _keyring()):
        try:
            found: str | None = keyring.get_password(_SERVICE, url)
        except keyring.errors.KeyringError:
            return None
        return found
    return kept.get(url)


def keep_key(url: str, key: str) -> bool:
    """Keeps a key for a server in the place of another. Raises OSError if the file cannot be written.

    Returns:
        Whether it is in the keyring, not in the file.
    """
    hidden = _hide(url, key)
    _write({**_read(), url: None if hidden else key})
    return hidden


def drop_key(url: str) -> None:
    """Keeps no key for a server. Raises OSError if the file cannot be written."""
    kept = _read()
    if url in kept and kept.pop(url) is None and (keyring := _keyring()):
        with suppress(keyring.errors.KeyringError):  # It is gone already, or the keyring is locked.
            keyring.delete_password(_SERVICE, url)
    _write(kept)


def _hide(url: str, key: str) -> bool:
    """Puts a key into the keyring. Returns whether it is there."""
    keyring = _keyring()
    if keyring is None:
        return False
    try:
        keyring.set_password(_SERVICE, url, key)
    except keyring.errors.KeyringError:
        return False
    return True


def _keyring() -> Any:
    """Returns the package `keyring` if it is installed and has a keyring of the system; else None."""
    try:
        import keyring.errors
    except ModuleNotFoundError:
        return None
    return keyring if keyring.get_keyring().priority >= 1 else None  # what `keyring` itself recommends


def _write(kept: dict[str, str | None]) -> None:
    path = _path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(kept, file)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _read() -> dict[str, str | None]:
    """The keys by server, None for those in the keyring; no server if the file is missing or not ours."""
    try:
        found = json.loads(_path().read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _path() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "headstart" / "keys.json"
