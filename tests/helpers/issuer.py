"""An OIDC issuer with keys of its own, and a server of its key set that can be slow, be down and count its requests."""

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://id.example.org/realms/main", "headstart"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class Issuer:
    """Signs tokens.

    Attributes:
        keys: by `kid`.
    """

    def __init__(self) -> None:
        self.keys: dict[str, PrivateKey] = {
            "rsa": rsa.generate_private_key(65537, 2048),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }

    def jwks(self, **extra: Mapping[str, Any]) -> str:
        """The public keys, and others by `kid`."""
        return json.dumps({"keys": [public_jwk(kid, key) for kid, key in self.keys.items()] + list(extra.values())})

    def token(self, kid: str = "rsa", *, algorithm: str | None = None, headers: Any = None, **claims: Any) -> str:
        """A token that is valid for five minutes, with other claims; those that are None are left out."""
        now = int(time.time())
        usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "tenant": "birds", "scope": "openid predict"}
        filled = {**usual, "iat": now, "nbf": now, "exp": now + 300, **claims}
        given = {name: value for name, value in filled.items() if value is not None}
        usual_algorithm = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}.get(kid, "RS256")
        signer = self.keys[kid]
        return jwt.encode(given, signer, algorithm or usual_algorithm, {"kid": kid, **(headers or {})})


def public_jwk(kid: str, key: PrivateKey, **extra: str) -> dict[str, Any]:
    """The public half of a key, as identity providers publish it."""
    algorithm: Any = (
        RSAAlgorithm
        if isinstance(key, rsa.RSAPrivateKey)
        else ECAlgorithm
        if isinstance(key, ec.EllipticCurvePrivateKey)
        else OKPAlgorithm
    )
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **extra}


def by_hand(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """The part of a token that is signed, of any header."""
    return ".".join(unpadded(json.dumps(part).encode()) for part in (header, claims))


def unpadded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class KeySetServer:
    """Serves a key set.

    Attributes:
        text: what it answers.
        status: with which status; None for a closed connection.
        location: where a redirect leads.
        asked: the number of requests so far.
        going: clear it, and requests wait.
    """

    def __init__(self, url: str, text: str) -> None:
        self.url = url
        self.text = text
        self.status: int | None = 200
        self.location = "/"
        self.asked = 0
        self.going = threading.Event()
        self.going.set()


@contextmanager
def serving(text: str) -> Iterator[KeySetServer]:
    """Serves a key set on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked += 1
            served.going.wait(30)
            if served.status is None:
                self.close_connection = True
                return
            self.send_response(served.status)
            self.send_header("Location", served.location)
            self.end_headers()
            self.wfile.write(served.text.encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = KeySetServer(f"http://127.0.0.1:{server.server_port}/certs", text)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            served.going.set()
            server.shutdown()
            thread.join()
