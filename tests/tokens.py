"""Tokens of every kind, and a server of public keys."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from http_server import serving

SECRET: Final = "the-secret-of-the-tests-which-is-long-enough"
OLD_SECRET: Final = "the-secret-of-before-which-is-long-enough-too"
API_KEY: Final = "the-api-key-of-the-tests-is-long-enough-too"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def claims(
    *sessions: str, rights: tuple[str, ...] = ("read",), sub: str = "ada", ttl_s: float = 600
) -> dict[str, Any]:
    return {
        "sub": sub,
        "sessions": list(sessions),
        "rights": list(rights),
        "exp": int(time.time() + ttl_s),
    }


def signed(content: Mapping[str, Any], secret: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(dict(content), secret, algorithm)


def token(*sessions: str, **fields: Any) -> str:
    """A valid token of the secret."""
    return signed(claims(*sessions, **fields))


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


class KeyServer:
    """Serves a key set on loopback, and counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.asked = 0
        self.answer: bytes | None = None
        """Something else than the key set."""
        self.redirects_to: str | None = None
        self.drips: threading.Event | None = None
        """Until it is set, the body comes byte by byte and does not end."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                if outer.redirects_to is not None:
                    self.send_response(302)
                    self.send_header("Location", outer.redirects_to)
                    self.end_headers()
                    return
                body = outer.answer
                if body is None:
                    body = json.dumps({"keys": outer.keys}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):
                    while outer.drips is not None and not outer.drips.wait(0.05):
                        self.wfile.write(b" ")
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    @contextmanager
    def running(self) -> Iterator[KeyServer]:
        with serving(self._server):
            yield self

    def publish(self, key: PrivateKey, key_id: str | None, **fields: str) -> None:
        algorithm: type[RSAAlgorithm | ECAlgorithm | OKPAlgorithm]
        if isinstance(key, rsa.RSAPrivateKey):
            algorithm = RSAAlgorithm
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            algorithm = ECAlgorithm
        else:
            algorithm = OKPAlgorithm
        published: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))  # type: ignore[arg-type]
        if key_id is not None:
            published["kid"] = key_id
        self.keys.append(published | fields)


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def with_key(
    content: Mapping[str, Any], key: PrivateKey, key_id: str | None, algorithm: str = "RS256"
) -> str:
    headers = None if key_id is None else {"kid": key_id}
    return jwt.encode(dict(content), key, algorithm, headers=headers)


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hs256_with(content: Mapping[str, Any], secret: bytes, key_id: str) -> str:
    """Signed with any bytes, also with a public key, which PyJWT would refuse to do."""
    import base64
    import hashlib
    import hmac

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    header = {"alg": "HS256", "typ": "JWT", "kid": key_id}
    signing = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(content).encode())}"
    digest = hmac.new(secret, signing.encode(), hashlib.sha256).digest()
    return f"{signing}.{encoded(digest)}"
