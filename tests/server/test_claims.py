"""Claims of tokens: which tenant and scope they name, under any setting and for any claim."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.claims import ClaimRules, claim_at, read_names
from server.keys import SCOPES, TENANT
from server.settings import InvalidSettings, load_settings

_values = st.text(st.characters(codec="utf-8", exclude_characters=","), min_size=1).map(str.strip).filter(bool)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
_claims = st.dictionaries(st.sampled_from(["tenant", "scope", "a", "a.b", "x"]) | st.text(max_size=5), _json, max_size=5)
_tenants = st.from_regex(TENANT, fullmatch=True)


@given(st.dictionaries(_values, st.sampled_from(SCOPES)), st.sampled_from(["", " ", "\t "]))
def test_a_mapping_is_read_as_it_was_written(names: dict[str, str], space: str) -> None:
    text = ",".join(f"{space}{value}{space}={space}{name}{space}" for value, name in names.items())
    assert read_names("oidc-scopes", text, SCOPES.__contains__) == names


@given(st.text())
def test_any_text_is_a_mapping_or_is_refused(text: str) -> None:
    try:
        names = read_names("oidc-scopes", text, SCOPES.__contains__)
    except ValueError:
        return
    assert set(names.values()) <= set(SCOPES)
    assert "" not in names


@pytest.mark.parametrize("text", ["a", "a=", "=predict", "a=other", "a=predict,", ",", "a=predict,a=write", "a=Predict"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"VALUE=NAME|two names"):
        read_names("oidc-scopes", text, SCOPES.__contains__)


@given(st.lists(st.text(st.characters(exclude_characters="."), min_size=1), min_size=1, max_size=5), _json)
def test_a_name_leads_through_objects(path: list[str], value: Any) -> None:
    claims = value
    for name in reversed(path):
        claims = {name: claims}
    assert claim_at(claims, ".".join(path)) is value
    assert claim_at(claims, ".".join([*path, "more"])) is (value.get("more") if isinstance(value, dict) else None)
    assert claim_at({".".join(path): 1, **claims}, ".".join(path)) is (1 if len(path) > 1 else value)


@given(_claims, st.dictionaries(_values, _tenants, max_size=3), st.dictionaries(_values, st.sampled_from(SCOPES), max_size=3))
def test_any_claims_name_a_possible_tenant_and_scope_or_none(
    claims: dict[str, Any], tenants: dict[str, str], scopes: dict[str, str]
) -> None:
    rules = ClaimRules("tenant", tenants, "a.b", scopes)
    tenant, scope = rules.tenant(claims), rules.scope(claims)
    assert tenant is None or (TENANT.fullmatch(tenant) and (not tenants or tenant in tenants.values()))
    assert scope is None or scope in (set(scopes.values()) or SCOPES)


@given(st.lists(st.sampled_from([*SCOPES, "openid", "a b"])), st.booleans())
def test_the_largest_scope_counts(values: list[str], as_text: bool) -> None:
    claim: Any = " ".join(values) if as_text else values
    best = max((SCOPES.index(value) for value in values if value in SCOPES), default=None)
    assert ClaimRules("t", {}, "s", {}).scope({"s": claim}) == (None if best is None else SCOPES[best])


@pytest.mark.parametrize(
    ("claim", "tenants", "tenant"),
    [
        ("birds", {}, "birds"),
        (["birds"], {}, "birds"),
        (["birds", "birds"], {}, "birds"),
        (["birds", "plants"], {}, None),
        ("Birds", {}, None),
        ("a b", {}, None),
        ("birds\n", {}, None),
        ("", {}, None),
        (7, {}, None),
        ({"birds": 1}, {}, None),
        ([["birds"]], {}, None),
        ("example.org", {"example.org": "birds"}, "birds"),
        ("birds", {"example.org": "birds"}, None),
        (["/all", "/birds"], {"/birds": "birds"}, "birds"),
        (["/plants", "/birds"], {"/birds": "birds", "/plants": "plants"}, None),
        (["/plants", "/birds"], {"/birds": "birds", "/plants": "birds"}, "birds"),
    ],
)
def test_a_tenant_is_named_alone_and_well(claim: Any, tenants: dict[str, str], tenant: str | None) -> None:
    assert ClaimRules("t", tenants, "s", {}).tenant({"t": claim}) == tenant


def test_roles_with_spaces_are_found_in_lists() -> None:
    rules = ClaimRules("t", {}, "groups", {"Headstart Admins": "manage", "read:images": "predict"})
    assert rules.scope({"groups": ["Headstart Admins"]}) == "manage"
    assert rules.scope({"groups": "read:images write:images"}) == "predict"
    assert rules.scope({"groups": "Headstart Admins"}) is None


_ALL = ("--oidc-issuer", "https://id.example.org", "--oidc-audience", "a, b", "--oidc-jwks", "keys.json")


def test_settings_of_a_provider() -> None:
    oidc = load_settings([*_ALL, "--oidc-scopes", "admin=manage", "--oidc-scope-claim", "realm_access.roles"]).oidc
    assert oidc is not None
    assert oidc.audiences == {"a", "b"}
    assert oidc.rules == ClaimRules("tenant", {}, "realm_access.roles", {"admin": "manage"})
    assert load_settings([]).oidc is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (_ALL[:4], "oidc-jwks"),
        (_ALL[2:], "oidc-issuer"),
        ((*_ALL, "--oidc-scopes", "admin=all"), "oidc-scopes: admin=all"),
        ((*_ALL, "--oidc-tenants", "a=Birds"), "oidc-tenants: a=Birds"),
        ((*_ALL[:3], ",", *_ALL[4:]), "oidc-audience"),
    ],
)
def test_settings_that_cannot_be(flags: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        load_settings(flags)
