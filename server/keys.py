"""API keys as text: `hs_<id>_<secret>_<checksum>`. They are made here, read, and told apart.

The secret has 256 random bits in hexadecimal, so that nothing can be guessed, and a plain hash of it suffices. The checksum is a
CRC-32 of what comes before it: a key with a mistake in it is refused without a look at any other.
"""

import hashlib
import re
import secrets
import zlib
from typing import Literal, get_args

DEFAULT_TENANT = "default"
"""The tenant of a server without keys. The server's operators have its `manage` keys."""

Scope = Literal["predict", "write", "manage"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""What a key allows. Each scope includes those before it."""

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""The names that a tenant can have."""

MOST_DAYS = 3650
"""The longest life of a key that expires."""

_SECRET = re.compile(r"(hs_[0-9a-f]{12})_[0-9a-f_]+")
_KEY = re.compile(r"(hs_([0-9a-f]{12})_[0-9a-f]{64})_([0-9a-f]{8})")


def make_key(id_: str | None = None) -> tuple[str, str]:
    """Returns the id of a new key, a random one unless it is given, and the key."""
    id_ = id_ or secrets.token_hex(6)
    whole = f"hs_{id_}_{secrets.token_hex(32)}"
    return id_, f"{whole}_{_checksum(whole)}"


def next_id(id_: str) -> str:
    """Returns the id of the key that takes the place of another: so each is known to have been rotated, and to which."""
    return hashlib.sha256(f"after {id_}".encode()).hexdigest()[:12]


def id_of(key: str) -> str | None:
    """Returns the id of a key; None if the text is no key, or a character of it is missing or wrong."""
    parts = _KEY.fullmatch(key)
    return parts[2] if parts and _checksum(parts[1]) == parts[3] else None


def without_secrets(text: str) -> str:
    """Returns a text in which keys end after their ids, for logs and messages."""
    return _SECRET.sub(r"\1_…", text)


def digest_of(key: str) -> bytes:
    """Returns the SHA-256 of a key, which is stored in its place."""
    return hashlib.sha256(key.encode()).digest()


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
