"""The asymmetric half of an installation's keys: a P-256 key signs sessions, and anybody verifies them by its JWK."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

from agent.model.value import Json

ALGORITHM = "ES256"


class SigningKey:
    """One ES256 key pair; `kid` is the RFC 7638 thumbprint of its public half."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = private.public_key()
        self._point: dict[str, Json] = dict(ECAlgorithm.to_jwk(self.public, as_dict=True))
        canonical = json.dumps({name: self._point[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        self.kid = urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()

    @classmethod
    def generate(cls) -> Self:
        """A new random key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, text: str) -> Self:
        """The key that `pem` wrote; ValueError for anything else."""
        key = load_pem_private_key(text.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("not a P-256 private key")  # noqa: TRY004 # of a file, not of an argument
        return cls(key)

    @property
    def pem(self) -> str:
        """The private key, unencrypted PKCS #8."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def sign(self, claims: Mapping[str, Json]) -> str:
        """A JWT whose header names this key."""
        return jwt.encode(dict(claims), self._private, algorithm=ALGORITHM, headers={"kid": self.kid})

    def jwk(self) -> dict[str, Json]:
        """The public half as hosted projects publish it."""
        about = {"alg": ALGORITHM, "ext": True, "key_ops": ["verify"], "kid": self.kid, "use": "sig"}
        return about | self._point
