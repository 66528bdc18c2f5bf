"""The claims of OIDC tokens: they say whose tasks the bearer works on, and what the bearer may do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server.keys import SCOPES, TENANT, Scope


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """The claims that name tenant and scope.

    Attributes:
        tenant_claim, scope_claim: names as in `claim_at`.
        tenants: from values of the tenant's claim to tenants; empty if the values are tenants themselves.
        scopes: from values of the scope's claim to scopes; empty if the values are scopes themselves.
    """

    tenant_claim: str
    tenants: Mapping[str, str]
    scope_claim: str
    scopes: Mapping[str, str]

    def tenant(self, claims: Mapping[str, Any]) -> str | None:
        """Returns the tenant; None if the claim names none, several, or one that no tenant can be called."""
        values = _values(claim_at(claims, self.tenant_claim))
        named = {self.tenants.get(value) for value in values} - {None} if self.tenants else values
        tenant = named.pop() if len(named) == 1 else None
        return tenant if tenant is not None and TENANT.fullmatch(tenant) else None

    def scope(self, claims: Mapping[str, Any]) -> Scope | None:
        """Returns the largest scope that the claim names; None if it names none. Words of a text are values of their own."""
        claim = claim_at(claims, self.scope_claim)
        values = set(claim.split()) if isinstance(claim, str) else _values(claim)
        named = {self.scopes.get(value) for value in values} if self.scopes else values
        return next((scope for scope in reversed(SCOPES) if scope in named), None)


def claim_at(claims: Mapping[str, Any], name: str) -> Any:
    """Returns a claim; None if there is none.

    A name may lead through objects: `realm_access.roles` is the member `roles` of the claim `realm_access`. A claim whose whole
    name has dots, such as `https://example.org/roles`, comes first.
    """
    if name in claims:
        return claims[name]
    outer, _, inner = name.partition(".")
    within = claims.get(outer)
    return claim_at(within, inner) if inner and isinstance(within, dict) else None


def read_names(setting: str, text: str, allowed: Callable[[str], object]) -> dict[str, str]:
    """Returns what `VALUE=NAME,VALUE=NAME` says, by value. Spaces around the parts do not count; a value may hold `=`.

    Raises:
        ValueError: it is of another form, says two things of a value, or a name is not allowed. The message names the setting.
    """
    names: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else ():
        value, _, name = (part.strip() for part in pair.rpartition("="))
        if not value or not allowed(name):
            raise ValueError(f"{setting}: {pair.strip()} is not of the form VALUE=NAME with a name that is possible here")
        if names.setdefault(value, name) != name:
            raise ValueError(f"{setting}: {value} stands for two names")
    return names


def _values(claim: Any) -> set[str]:
    """Returns the text that a claim is, or the texts in the list that it is."""
    return {each for each in (claim if isinstance(claim, list) else [claim]) if isinstance(each, str)}
