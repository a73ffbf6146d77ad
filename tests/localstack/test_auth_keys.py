"""Sessions signed with an asymmetric key, and the key set anybody verifies them with."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from supabase import AsyncClient
from supabase_auth.errors import AuthInvalidJwtError

from agent.errors import StackError
from agent.localstack.keys import Keys, TokenError
from agent.localstack.signing import SigningKey
from tests.localstack.conftest import Api

KEYS = Keys.generate()
CLAIMS = {"role": "authenticated", "sub": "x"}


def fault(token: str, keys: Keys = KEYS) -> str:
    with pytest.raises(TokenError) as caught:
        keys.verify(token)
    return caught.value.kind


def encoded(part: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def test_a_session_names_its_key_and_is_verified_by_the_public_half() -> None:
    token = KEYS.issue(CLAIMS, 60)
    [key] = KEYS.jwks()["keys"]
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": key["kid"], "typ": "JWT"}
    found = jwt.decode(token, jwt.PyJWK(key), algorithms=["ES256"])
    assert (found["sub"], KEYS.verify(token)["sub"]) == ("x", "x")


def test_the_key_set_holds_the_public_half_alone() -> None:
    [key] = KEYS.jwks()["keys"]
    assert key.keys() == {"alg", "crv", "ext", "key_ops", "kid", "kty", "use", "x", "y"}
    assert (key["alg"], key["kty"], key["crv"], key["key_ops"]) == ("ES256", "EC", "P-256", ["verify"])
    assert KEYS.jwt_secret not in json.dumps(KEYS.jwks())


def test_what_the_shared_secret_signed_stays_valid() -> None:
    assert KEYS.verify(KEYS.mint(CLAIMS, 60))["sub"] == "x"


def test_no_key_is_used_with_the_others_algorithm() -> None:
    """The public key as an HMAC secret is the classic forgery."""
    public = KEYS.signer.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{encoded({'alg': 'HS256', 'kid': KEYS.signer.kid})}.{encoded(CLAIMS)}"
    for secret in (KEYS.jwt_secret.encode(), public, json.dumps(KEYS.signer.jwk()).encode()):
        mac = urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()
        assert fault(f"{signed}.{mac}") == "signature"
    stranger = SigningKey.generate()
    forged = jwt.encode(CLAIMS, stranger._private, algorithm="ES256", headers={"kid": KEYS.signer.kid})
    assert (fault(forged), fault(stranger.sign(CLAIMS))) == ("signature", "signature")
    unsigned = f"{encoded({'alg': 'none', 'kid': KEYS.signer.kid})}.{encoded(CLAIMS)}."
    assert fault(unsigned) == "signature"


def test_a_signature_that_was_checked_before_does_not_outlive_its_claims() -> None:
    token = KEYS.issue(CLAIMS | {"exp": int(time.time()) + 60}, 60)
    assert KEYS.verify(token)["sub"] == "x"
    KEYS.verify(token)["role"] = "service_role"
    assert KEYS.verify(token)["role"] == "authenticated"
    with pytest.raises(TokenError, match="expired"):
        KEYS.verify(token, now=time.time() + 61)
    assert fault(token[:-6] + "AAAAAA") == "signature"


def test_another_installation_does_not_take_it() -> None:
    assert fault(KEYS.issue(CLAIMS, 60), Keys.generate()) == "signature"


def test_keys_of_an_older_version_get_a_signing_key_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    KEYS.save(path)
    older = json.loads(path.read_text())
    del older["signing_key"]
    path.write_text(json.dumps(older))
    keys = Keys.load_or_generate(path)
    assert keys.secret_key == KEYS.secret_key
    assert Keys.load(path) == keys
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_signing_key_of_another_kind_is_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    KEYS.save(path)
    kept = json.loads(path.read_text())
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    others = [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)]
    for text in ("", "x", *(each.private_bytes(*form).decode() for each in others)):
        path.write_text(json.dumps(kept | {"signing_key": text}))
        with pytest.raises(StackError, match=r"keys\.json"):
            Keys.load(path)


def test_the_private_key_stays_out_of_the_repr() -> None:
    assert "PRIVATE" not in repr(KEYS)


async def test_the_key_set_is_served_without_an_api_key(anon: Api) -> None:
    answer = await anon.http.get("/auth/v1/.well-known/jwks.json")
    assert (answer.status_code, answer.json()) == (200, anon.stack.keys.jwks())
    assert answer.headers["cache-control"] == "public, max-age=600"


async def test_the_python_client_verifies_claims_without_asking_for_the_user(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = AsyncMock(side_effect=AssertionError)
    monkeypatch.setattr(client.auth, "get_user", asked)
    found = await client.auth.get_claims()
    assert found is not None
    assert found["claims"]["email"] == "ann@example.com"
    session = await client.auth.get_session()
    assert session is not None
    with pytest.raises(AuthInvalidJwtError):
        await client.auth.get_claims(session.access_token[:-6] + "AAAAAA")
    asked.assert_not_called()
