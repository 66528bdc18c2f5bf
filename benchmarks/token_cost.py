"""What does an OIDC token cost the event loop? Its first check and later ones, beside an API key's and a forged token's.

    python -m benchmarks.token_cost --json token_cost.json

Processor time of the check alone, without a request around it. Each turn has new tokens, and sends each of them a second time.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from benchmarks.shared.command import benchmark_parser, write_json
from server.cache.keys import ActiveKeys
from server.cache.tokens import Tokens
from server.changes import Changes
from server.errors import Unauthenticated
from server.settings import load_settings
from server.store.key_records import new_key
from server.store.store import Store, sqlite_url

_ISSUER, _AUDIENCE = "https://id.example.org", "headstart"


def main() -> None:
    parser = benchmark_parser("token_cost", __doc__, rounds=9)
    parser.add_argument("--tokens", type=int, default=500, help="of a kind in each turn (default %(default)s)")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        rounds = [_turn(Path(folder), arguments.tokens) for _ in range(arguments.rounds)]
    figures = {name: median(each[name] for each in rounds) for name in rounds[0]}
    print(f"{'microseconds of a check':<32}{'median':>8}{'least':>8}{'most':>8}")
    for name, middle in figures.items():
        all_ = [each[name] for each in rounds]
        print(f"{name:<32}{middle:>8.1f}{min(all_):>8.1f}{max(all_):>8.1f}")
    write_json(arguments.json, figures)


def _turn(folder: Path, count: int) -> dict[str, float]:
    """Microseconds of a check by kind."""
    figures = {"API key": _key(folder, count)}
    signers: dict[str, tuple[Any, Any]] = {
        "RS256": (RSAAlgorithm, rsa.generate_private_key(65537, 2048)),
        "ES256": (ECAlgorithm, ec.generate_private_key(ec.SECP256R1())),
        "EdDSA": (OKPAlgorithm, ed25519.Ed25519PrivateKey.generate()),
    }
    public = [{**kind.to_jwk(key.public_key(), as_dict=True), "kid": name} for name, (kind, key) in signers.items()]
    file = folder / "jwks.json"
    file.write_text(json.dumps({"keys": public}))
    flags = ["--oidc-issuer", _ISSUER, "--oidc-audience", _AUDIENCE, "--oidc-jwks", str(file)]
    tokens = Tokens(load_settings(flags))
    for name, (_, key) in signers.items():
        made = [_token(name, key, number) for number in range(count)]
        figures[f"token, {name}, first"] = _checked(tokens, made)
        figures[f"token, {name}, again"] = _checked(tokens, made)
        forged = [f"{token.rpartition('.')[0]}.{'A' * len(token.rpartition('.')[2])}" for token in made]
        figures[f"token, {name}, forged"] = _checked(tokens, forged)
    return figures


def _token(kid: str, key: Any, number: int) -> str:
    now = int(time.time())
    claims = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": f"user-{number}", "tenant": "birds", "scope": "openid predict"}
    return jwt.encode({**claims, "iat": now, "exp": now + 3600}, key, kid, {"kid": kid})


def _checked(tokens: Tokens, made: list[str]) -> float:
    async def check() -> float:
        begun = time.process_time()
        for token in made:
            with suppress(Unauthenticated):
                await tokens.find(token)
        return time.process_time() - begun

    return 1e6 * asyncio.run(check()) / len(made)


def _key(folder: Path, count: int) -> float:
    store = Store.open(sqlite_url(folder))
    try:
        record, key = new_key("birds", "predict", None, None)
        store.keys.add(record)
        return _timed(ActiveKeys(store, Changes()).find, key, count)
    finally:
        store.close()


def _timed(find: Callable[[str], object], key: str, count: int) -> float:
    begun = time.process_time()
    for _ in range(count):
        assert find(key) is not None
    return 1e6 * (time.process_time() - begun) / count


if __name__ == "__main__":
    main()
