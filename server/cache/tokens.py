"""OIDC bearer tokens: JSON Web Tokens (RFC 7519) that an identity provider signed, checked with its public keys."""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from re import compile as pattern
from typing import Any

import jwt
from cachetools import LRUCache
from jwt import PyJWK

from server.cache.issuer_keys import ALGORITHMS, IssuerKeys, KeysUnreadable
from server.claims import ClaimRules
from server.errors import Unauthenticated
from server.keys import Scope
from server.settings import InvalidSettings, Settings

LEEWAY_SECONDS = 30.0  # by which the issuer's clock may differ from ours
_MOST_VERIFIED = 4096  # tokens remembered; some 2 MB
_SUBJECT = pattern(r"[\x20-\x7e]{1,255}")  # OpenID Connect Core, section 2

_WHY: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet",
    jwt.InvalidAudienceError: "it is for another audience",
    jwt.InvalidIssuerError: "it is of another issuer",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bearer:
    """The bearer of a valid token.

    Attributes:
        scope: None if its claims name none.
        id: `oidc:` and the token's subject.
    """

    tenant: str
    scope: Scope | None
    id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Verified:
    bearer: Bearer
    kid: str | None
    key: PyJWK
    until: float


class Tokens:
    """Checks tokens of one issuer. Use it on the event loop.

    A signature takes as long to check as the rest of a short request. So tokens that were valid are remembered by their SHA-256,
    until they expire or the issuer withdraws the key that signed them.

    Raises:
        InvalidSettings: the file of the issuer's keys cannot be used. Keys at a URL are asked for again by later tokens.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.oidc is not None
        self._oidc = settings.oidc
        self._rules: ClaimRules = settings.oidc.rules
        self._keys = IssuerKeys(settings.oidc.jwks)
        self._verified: LRUCache[bytes, _Verified] = LRUCache(_MOST_VERIFIED)
        try:
            self._keys.read()
        except KeysUnreadable as error:
            if not settings.oidc.jwks.startswith(("https://", "http://")):
                raise InvalidSettings(f"oidc-jwks: {error}") from error
            _log.error("%s; tokens are refused until they can be", error)

    async def find(self, token: str) -> Bearer:
        """Returns whose token it is.

        Raises:
            Unauthenticated: it is not a valid token of the issuer for this server, or its claims name no tenant.
        """
        digest = sha256(token.encode()).digest()
        found = self._verified.get(digest)
        if found is None or self._keys.known(found.kid) is not found.key:
            found = self._verified[digest] = await self._verify(token)
        elif found.until <= time.time():
            del self._verified[digest]
            raise _refused("it has expired")
        return found.bearer

    async def _verify(self, token: str) -> _Verified:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = await self._keys.find(kid)
            if key is None:
                raise _refused("none of the issuer's keys is of its `kid`")
            claims = self._checked(token, key)
            expires = datetime.fromtimestamp(int(claims["exp"]), UTC)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError) as error:
            raise _refused(_WHY.get(type(error), "its form or its signature is wrong")) from error
        tenant, subject = self._rules.tenant(claims), claims["sub"]
        if tenant is None or not _SUBJECT.fullmatch(subject):
            raise _refused("its claims do not name one tenant and a subject")
        bearer = Bearer(tenant, self._rules.scope(claims), f"oidc:{subject}", expires)
        return _Verified(bearer, kid, key, expires.timestamp() + LEEWAY_SECONDS)

    def _checked(self, token: str, key: PyJWK) -> dict[str, Any]:
        """Returns the claims of a token that the key signed, by the algorithm that the key is for. Raises PyJWTError."""
        return jwt.decode(
            token,
            key,
            algorithms=sorted(ALGORITHMS),
            audience=self._oidc.audiences,
            issuer=self._oidc.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
        )


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"this token is refused: {why}")
