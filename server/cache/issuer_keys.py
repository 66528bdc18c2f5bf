"""The public keys with which an OIDC issuer's tokens are checked: its JSON Web Key Set (RFC 7517), from a file or a URL."""

import asyncio
import logging
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import HTTPRedirectHandler, build_opener

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK
from jwt.exceptions import PyJWTError

# Signatures that only the issuer can make. Those by a shared secret (HS256) are not among them, and `none` is no signature.
ALGORITHMS = frozenset(f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)) | {"EdDSA"}

PAUSE_SECONDS = 10.0  # least time between two readings for keys that are not known
_OLD_SECONDS = 3600.0  # after so long they are read again, since the issuer may have withdrawn one
_FETCH_SECONDS = 5.0
_MOST_BYTES = 1_000_000

_log = logging.getLogger(__name__)


class KeysUnreadable(Exception):
    """The keys cannot be had, or are none; the message is one line."""


class IssuerKeys:
    """The keys by `kid`. Use it on the event loop; only `read` blocks.

    Keys that are known serve on while they cannot be read again.

    Args:
        source: a path, or a URL of http or https.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._text: bytes | None = None
        self._keys: dict[str | None, PyJWK] = {}
        self._read_at = time.monotonic()
        self._reading: asyncio.Task[None] | None = None

    def read(self) -> None:
        """Reads the keys. Raises KeysUnreadable, and then those of before stay."""
        try:
            text = _text_of(self._source)
            if text != self._text:
                self._keys = _keys_of(text)
                self._text = text
        except (OSError, HTTPException, ValueError) as error:  # URLError is an OSError, and msgspec's errors are ValueErrors.
            raise KeysUnreadable(f"the keys of the issuer cannot be read from {self._source}: {error}") from error

    def known(self, kid: str | None) -> PyJWK | None:
        """Returns the key of that name, or for None the only key; None if it is not known. Never blocks."""
        if time.monotonic() - self._read_at > _OLD_SECONDS:
            self._begin()
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid) if kid is not None else None

    async def find(self, kid: str | None) -> PyJWK | None:
        """Returns the same as `known`, after another reading if the name is not known and the last reading is not too recent."""
        if (key := self.known(kid)) is None and kid is not None:
            if time.monotonic() - self._read_at >= PAUSE_SECONDS:
                self._begin()
            if self._reading is not None:
                await asyncio.wait([self._reading], timeout=_FETCH_SECONDS)
                key = self.known(kid)
        return key

    def _begin(self) -> None:
        """Begins to read, in a thread, unless a reading is under way."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_again())

    async def _read_again(self) -> None:
        try:
            await asyncio.to_thread(self.read)
        except KeysUnreadable as error:
            _log.warning("%s", error)
        finally:
            self._read_at = time.monotonic()
            self._reading = None


class _NoRedirects(HTTPRedirectHandler):
    """Leads nowhere else: another server's keys, or some that come without TLS, are not the issuer's."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = build_opener(_NoRedirects)


def _text_of(source: str) -> bytes:
    if not source.startswith(("https://", "http://")):
        return Path(source).read_bytes()
    with _opener.open(source, timeout=_FETCH_SECONDS) as answer:
        text: bytes = answer.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")
    return text


def _keys_of(text: bytes) -> dict[str | None, PyJWK]:
    """Returns the keys of a set that can check signatures. Raises ValueError if there are none."""
    document = msgspec.json.decode(text)
    listed = document.get("keys") if isinstance(document, dict) else None
    keys: dict[str | None, PyJWK] = {}
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and each.get("use", "sig") == "sig":
            try:
                key = PyJWK(each)
            except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
                continue  # Of a kind that is not known here. Others may serve.
            if key.algorithm_name in ALGORITHMS:
                keys.setdefault(key.key_id, key)
    if not keys:
        raise ValueError("there is no public key for signatures in it")
    return keys
