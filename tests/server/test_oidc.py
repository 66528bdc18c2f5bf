"""OIDC tokens: forged, stale and foreign ones are refused, and the issuer's keys are asked for sparingly."""

import asyncio
import hashlib
import hmac
import json
import math
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from server.cache import issuer_keys
from server.cache.tokens import LEEWAY_SECONDS, Bearer, Tokens
from server.errors import Unauthenticated
from server.service import _tokens
from server.settings import InvalidSettings, Settings, load_settings
from tests.helpers.issuer import AUDIENCE, ISSUER, Issuer, KeySetServer, by_hand, public_jwk, serving, unpadded


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def other() -> Issuer:
    return Issuer()


def settings_for(jwks: str, *flags: str) -> Settings:
    return load_settings(["--oidc-issuer", ISSUER, "--oidc-audience", f"{AUDIENCE},api", "--oidc-jwks", jwks, *flags])


@pytest.fixture(scope="module")
def tokens(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    file = tmp_path_factory.mktemp("oidc") / "jwks.json"
    file.write_text(issuer.jwks())
    return Tokens(settings_for(str(file)))


def bearer_of(tokens: Tokens, token: str) -> Bearer:
    return asyncio.run(tokens.find(token))


def refused(tokens: Tokens, token: str, why: str = "this token is refused") -> None:
    for _ in range(2):  # The second time it might be remembered.
        with pytest.raises(Unauthenticated, match=why):
            bearer_of(tokens, token)


class TestWhatIsTaken:
    @pytest.mark.parametrize("kid", ["rsa", "ec", "ed"])
    def test_a_token_says_whose_it_is(self, tokens: Tokens, issuer: Issuer, kid: str) -> None:
        token = issuer.token(kid)
        bearer = bearer_of(tokens, token)
        assert (bearer.tenant, bearer.scope, bearer.id) == ("birds", "predict", "oidc:ann")
        assert abs(bearer.expires_at.timestamp() - time.time() - 300) < 10
        assert bearer_of(tokens, token) is bearer, "remembered"

    def test_any_of_the_audiences_and_clocks_that_differ_a_little(self, tokens: Tokens, issuer: Issuer) -> None:
        now = int(time.time())
        for claims in (
            {"aud": ["account", "api"]},
            {"exp": now - LEEWAY_SECONDS + 5},
            {"nbf": now + LEEWAY_SECONDS - 5, "iat": now + LEEWAY_SECONDS - 5},
            {"nbf": None, "iat": None},
        ):
            assert bearer_of(tokens, issuer.token(**claims)).id == "oidc:ann"

    def test_a_token_without_a_scope_has_none(self, tokens: Tokens, issuer: Issuer) -> None:
        assert bearer_of(tokens, issuer.token(scope="openid email")).scope is None
        assert bearer_of(tokens, issuer.token(scope=None)).scope is None

    @pytest.mark.parametrize(
        ("flags", "claims", "expected"),
        [
            (  # Keycloak: realm roles, and an attribute of the user
                ("--oidc-scope-claim", "realm_access.roles", "--oidc-scopes", "teacher=write,admin=manage"),
                {"realm_access": {"roles": ["offline_access", "teacher"]}},
                ("birds", "write"),
            ),
            (  # Keycloak: roles of the client, and a group
                (
                    *("--oidc-scope-claim", "resource_access.headstart.roles"),
                    *("--oidc-tenant-claim", "groups", "--oidc-tenants", "/birds=b,/plants=p"),
                ),
                {"resource_access": {"headstart": {"roles": ["manage"]}}, "groups": ["/all", "/birds"]},
                ("b", "manage"),
            ),
            (  # Entra ID: roles of the app, and the directory
                ("--oidc-scope-claim", "roles", "--oidc-scopes", "Images.Predict=predict", "--oidc-tenant-claim", "tid"),
                {"roles": ["Images.Predict"], "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47"},
                ("72f988bf-86f1-41af-91ab-2d7cd011db47", "predict"),
            ),
            (  # Okta: a list of scopes
                ("--oidc-scope-claim", "scp", "--oidc-scopes", "headstart:write=write"),
                {"scp": ["openid", "headstart:write"]},
                ("birds", "write"),
            ),
            (  # Google: no claims of one's own
                (
                    *("--oidc-tenant-claim", "hd", "--oidc-tenants", "example.org=default"),
                    *("--oidc-scope-claim", "sub", "--oidc-scopes", "1021=manage,1022=predict"),
                ),
                {"hd": "example.org", "sub": "1021"},
                ("default", "manage"),
            ),
        ],
    )
    def test_claims_as_providers_have_them(
        self, issuer: Issuer, tmp_path: Path, flags: tuple[str, ...], claims: dict[str, Any], expected: tuple[str, str]
    ) -> None:
        file = tmp_path / "jwks.json"
        file.write_text(issuer.jwks())
        bearer = bearer_of(Tokens(settings_for(str(file), *flags)), issuer.token(**claims))
        assert (bearer.tenant, bearer.scope) == expected


class TestWhatIsRefused:
    def test_no_signature(self, tokens: Tokens, issuer: Issuer) -> None:
        claims = jwt.decode(issuer.token(), options={"verify_signature": False})
        for algorithm in ("none", "None", "NONE", ""):
            refused(tokens, f"{by_hand({'alg': algorithm, 'kid': 'rsa'}, claims)}.")
        refused(tokens, f"{issuer.token().rpartition('.')[0]}.")

    @pytest.mark.parametrize("form", [serialization.Encoding.PEM, serialization.Encoding.DER])
    @pytest.mark.parametrize("kid", ["rsa", "ec"])
    def test_the_public_key_as_a_shared_secret(
        self, tokens: Tokens, issuer: Issuer, kid: str, form: serialization.Encoding
    ) -> None:
        secret = issuer.keys[kid].public_key().public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
        claims = jwt.decode(issuer.token(), options={"verify_signature": False})
        signed = by_hand({"alg": "HS256", "kid": kid}, claims)
        refused(tokens, f"{signed}.{unpadded(hmac.digest(secret, signed.encode(), hashlib.sha256))}")

    def test_a_shared_secret_in_the_key_set(self, issuer: Issuer, tmp_path: Path) -> None:
        secret, file = b"k" * 32, tmp_path / "jwks.json"
        file.write_text(issuer.jwks(shared={"kty": "oct", "kid": "shared", "k": unpadded(secret), "alg": "HS256"}))
        claims = jwt.decode(issuer.token(), options={"verify_signature": False})
        signed = by_hand({"alg": "HS256", "kid": "shared"}, claims)
        refused(Tokens(settings_for(str(file))), f"{signed}.{unpadded(hmac.digest(secret, signed.encode(), hashlib.sha256))}")

    def test_another_algorithm_than_the_key_is_for(self, tokens: Tokens, issuer: Issuer) -> None:
        refused(tokens, issuer.token("rsa", algorithm="PS256"))
        refused(tokens, issuer.token("rsa", algorithm="RS512"))
        refused(tokens, issuer.token("ec", headers={"kid": "rsa"}))

    def test_another_key_under_a_known_name(self, tokens: Tokens, other: Issuer) -> None:
        for kid in ("rsa", "ec", "ed"):
            refused(tokens, other.token(kid), "signature")

    def test_a_key_that_the_token_brings(self, tokens: Tokens, other: Issuer) -> None:
        own = public_jwk("mine", other.keys["rsa"])
        with serving(other.jwks()) as elsewhere:
            for headers in ({"jwk": own}, {"jku": elsewhere.url}, {"x5u": elsewhere.url}, {"jwk": own, "kid": "mine"}):
                refused(tokens, other.token(headers=headers))
            assert not elsewhere.asked

    def test_changed_claims(self, tokens: Tokens, issuer: Issuer) -> None:
        head, body, signature = issuer.token().split(".")
        claims = {**jwt.decode(issuer.token(), options={"verify_signature": False}), "scope": "manage"}
        refused(tokens, f"{head}.{unpadded(json.dumps(claims).encode())}.{signature}", "signature")
        assert body

    @pytest.mark.parametrize(
        ("claims", "why"),
        [
            ({"exp": int(time.time()) - LEEWAY_SECONDS - 5}, "expired"),
            ({"exp": None}, "form"),
            ({"exp": "soon"}, "form"),
            ({"exp": 10**30}, "form"),
            ({"exp": math.inf}, "form"),
            ({"nbf": int(time.time()) + 1000}, "not valid yet"),
            ({"iat": int(time.time()) + 1000}, "not valid yet"),
            ({"aud": "another"}, "audience"),
            ({"aud": None}, "form"),
            ({"aud": ["another", "and another"]}, "audience"),
            ({"iss": f"{ISSUER}/"}, "issuer"),
            ({"iss": None}, "form"),
            ({"sub": None}, "form"),
            ({"sub": ""}, "subject"),
            ({"sub": "a\nb"}, "subject"),
            ({"sub": "a" * 256}, "subject"),
            ({"tenant": "Birds"}, "tenant"),
            ({"tenant": None}, "tenant"),
            ({"tenant": ["birds", "plants"]}, "tenant"),
        ],
    )
    def test_claims_that_do_not_hold(self, tokens: Tokens, issuer: Issuer, claims: dict[str, Any], why: str) -> None:
        refused(tokens, issuer.token(**claims), why)

    def test_a_key_for_encryption_or_one_that_is_too_short(self, issuer: Issuer, tmp_path: Path) -> None:
        short, encrypting = rsa.generate_private_key(65537, 1024), rsa.generate_private_key(65537, 2048)
        file = tmp_path / "jwks.json"
        published = {"short": public_jwk("short", short), "enc": {**public_jwk("enc", encrypting), "use": "enc"}}
        file.write_text(issuer.jwks(**published, odd={"kty": "RSA", "kid": "odd"}, older={"kty": "EC", "crv": "P-192"}))
        tokens = Tokens(settings_for(str(file)))
        claims = jwt.decode(issuer.token(), options={"verify_signature": False})
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            weak = jwt.encode(claims, short, "RS256", {"kid": "short"})
        refused(tokens, weak)
        refused(tokens, jwt.encode(claims, encrypting, "RS256", {"kid": "enc"}))
        assert bearer_of(tokens, issuer.token()).id == "oidc:ann"

    def test_a_token_that_names_no_key_is_checked_with_the_only_one(self, tokens: Tokens, issuer: Issuer, tmp_path: Path) -> None:
        claims = jwt.decode(issuer.token(), options={"verify_signature": False})
        nameless = jwt.encode(claims, issuer.keys["rsa"], "RS256")
        refused(tokens, nameless)
        file = tmp_path / "jwks.json"
        file.write_text(json.dumps({"keys": [public_jwk("rsa", issuer.keys["rsa"])]}))
        assert bearer_of(Tokens(settings_for(str(file))), nameless).id == "oidc:ann"

    @given(st.text() | st.from_regex(r"[\w-]+\.[\w-]+\.[\w-]*", fullmatch=True))
    def test_any_text(self, tokens: Tokens, text: str) -> None:
        refused(tokens, text)

    @given(st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ", "x"]), st.text() | st.integers() | st.none()))
    def test_any_head(self, tokens: Tokens, head: dict[str, Any]) -> None:
        refused(tokens, f"{by_hand(head, {})}.AAAA")

    def test_a_head_of_a_thousand_floors(self, tokens: Tokens) -> None:
        for opening in ("[", '{"a":'):
            refused(tokens, f"{unpadded((opening * 9000).encode())}.e30.AAAA")


class TestMemory:
    def test_a_remembered_token_ends_when_it_expires(
        self, tokens: Tokens, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = issuer.token()
        assert bearer_of(tokens, token)
        ahead = time.time() + 300 + LEEWAY_SECONDS + 1
        monkeypatch.setattr(time, "time", lambda: ahead)
        with pytest.raises(Unauthenticated, match="expired"):
            bearer_of(tokens, token)

    def test_what_is_remembered_is_bounded(self, tokens: Tokens, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tokens, "_verified", type(tokens._verified)(8))
        for number in range(20):
            assert bearer_of(tokens, issuer.token("ed", sub=str(number))).id == f"oidc:{number}"
        assert len(tokens._verified) == 8


@pytest.fixture
def served(issuer: Issuer) -> Iterator[KeySetServer]:
    with serving(issuer.jwks()) as server:
        yield server


class TestKeysOfTheIssuer:
    @pytest.fixture(autouse=True)
    def _no_pause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(issuer_keys, "PAUSE_SECONDS", 0.0)

    @staticmethod
    def run(act: Callable[[], Awaitable[None]]) -> None:
        asyncio.run(asyncio.wait_for(act(), 20))

    def test_new_keys_hold_when_a_token_names_one_and_withdrawn_ones_end(
        self, served: KeySetServer, issuer: Issuer, other: Issuer
    ) -> None:
        tokens, later = Tokens(settings_for(served.url)), Issuer()
        later.keys = {"next": other.keys["rsa"], "ec": issuer.keys["ec"]}
        old = issuer.token()

        async def act() -> None:
            assert (await tokens.find(old)).id == "oidc:ann"
            served.text = later.jwks()
            assert (await tokens.find(later.token("next"))).id == "oidc:ann"
            with pytest.raises(Unauthenticated):
                await tokens.find(old)
            assert (await tokens.find(issuer.token("ec"))).id == "oidc:ann"

        self.run(act)

    def test_a_flood_of_unknown_names_is_one_question_and_holds_nobody_up(
        self, served: KeySetServer, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tokens = Tokens(settings_for(served.url))

        async def act() -> None:
            served.going.clear()
            flood = [asyncio.create_task(tokens.find(issuer.token(headers={"kid": f"k{n}"}))) for n in range(200)]
            while served.asked < 2:
                await asyncio.sleep(0.01)
            assert (await tokens.find(issuer.token())).id == "oidc:ann"
            assert tokens._keys._reading is not None, "the issuer is silent yet"
            monkeypatch.setattr(issuer_keys, "PAUSE_SECONDS", 1000.0)
            served.going.set()
            outcomes = await asyncio.gather(*flood, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {Unauthenticated}
            for n in range(50):
                with pytest.raises(Unauthenticated):
                    await tokens.find(issuer.token(headers={"kid": f"l{n}"}))

        assert served.asked == 1
        self.run(act)
        assert served.asked == 2

    def test_known_keys_serve_on_while_the_issuer_is_down(self, served: KeySetServer, issuer: Issuer) -> None:
        tokens = Tokens(settings_for(served.url))

        async def act() -> None:
            for status, text in ((None, ""), (500, "oh"), (302, ""), (200, "<html>"), (200, "{}"), (200, '{"keys": []}')):
                served.status, served.text = status, text
                before = served.asked
                with pytest.raises(Unauthenticated):
                    await tokens.find(issuer.token(headers={"kid": "unknown"}))
                assert served.asked > before
                assert (await tokens.find(issuer.token(sub=str(before)))).id == f"oidc:{before}"

        self.run(act)

    def test_a_redirect_leads_nowhere(self, served: KeySetServer, other: Issuer) -> None:
        with serving(other.jwks()) as elsewhere:
            served.status, served.location = 302, elsewhere.url
            tokens = Tokens(settings_for(served.url))

            async def act() -> None:
                with pytest.raises(Unauthenticated):
                    await tokens.find(other.token())

            self.run(act)
            assert not elsewhere.asked

    def test_keys_are_read_again_after_an_hour(
        self, served: KeySetServer, issuer: Issuer, other: Issuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tokens, old = Tokens(settings_for(served.url)), issuer.token()

        async def act() -> None:
            assert await tokens.find(old)
            served.text = other.jwks()
            monkeypatch.setattr(issuer_keys, "_OLD_SECONDS", -1.0)
            assert await tokens.find(old), "nobody waits for it"
            assert tokens._keys._reading is not None
            await tokens._keys._reading
            monkeypatch.undo()
            with pytest.raises(Unauthenticated):
                await tokens.find(old)

        self.run(act)

    def test_an_issuer_that_is_down_at_the_start_is_asked_again(self, served: KeySetServer, issuer: Issuer) -> None:
        served.status = 503
        tokens = Tokens(settings_for(served.url))

        async def act() -> None:
            with pytest.raises(Unauthenticated):
                await tokens.find(issuer.token())
            served.status = 200
            assert (await tokens.find(issuer.token())).id == "oidc:ann"

        self.run(act)


class TestTheStart:
    def test_a_file_without_keys_stops_it(self, tmp_path: Path) -> None:
        file = tmp_path / "jwks.json"
        with pytest.raises(InvalidSettings, match="jwks"):
            Tokens(settings_for(str(file)))
        for text in ("", "{}", "[]", '{"keys": 7}', '{"keys": [{"kty": "oct", "k": "AAAA"}]}'):
            file.write_text(text)
            with pytest.raises(InvalidSettings, match="jwks"):
                Tokens(settings_for(str(file)))

    @pytest.mark.parametrize("package", ["jwt", "cryptography"])
    def test_a_missing_package_is_named(self, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == package or name.startswith("server.cache.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InvalidSettings, match=r"pip install '\.\[oidc\]'"):
            _tokens(settings_for("jwks.json"))
        assert _tokens(load_settings([])) is None
