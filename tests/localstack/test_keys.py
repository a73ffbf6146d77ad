from __future__ import annotations

import json
import stat
from pathlib import Path

import jwt
import pytest

from agent.errors import StackError
from agent.localstack.keys import Keys, TokenError

KEYS = Keys.generate()


def fault(token: str, **how: float) -> str:
    with pytest.raises(TokenError) as caught:
        KEYS.verify(token, **how)
    return caught.value.kind


def test_each_installation_has_its_own_keys() -> None:
    other = Keys.generate()
    assert len({KEYS.jwt_secret, KEYS.anon_key, other.jwt_secret, other.anon_key, other.secret_key}) == 5
    assert fault(other.service_key) == "signature"


def test_the_new_keys_look_like_the_hosted_ones() -> None:
    assert KEYS.publishable_key.startswith("sb_publishable_")
    assert KEYS.secret_key.startswith("sb_secret_")
    assert len(KEYS.secret_key.removeprefix("sb_secret_")) == 31


def test_the_legacy_keys_are_tokens_for_their_role() -> None:
    assert KEYS.verify(KEYS.anon_key)["role"] == "anon"
    assert KEYS.verify(KEYS.service_key)["role"] == "service_role"


def test_all_four_keys_are_known_by_role_and_nothing_else_is() -> None:
    roles = [KEYS.role_of_api_key(key) for key in (KEYS.anon_key, KEYS.publishable_key)]
    roles += [KEYS.role_of_api_key(key) for key in (KEYS.service_key, KEYS.secret_key)]
    assert roles == ["anon", "anon", "service_role", "service_role"]
    for stranger in ("", "x", KEYS.secret_key[:-1], KEYS.secret_key + "x", "\ud800", KEYS.mint({"role": "anon"}, 60)):
        assert KEYS.role_of_api_key(stranger) is None


def test_a_token_expires_at_its_second_and_a_leeway_delays_that() -> None:
    token = KEYS.mint({"role": "authenticated", "iat": 1000, "exp": 1005}, 5)
    assert KEYS.verify(token, now=1004.9)["exp"] == 1005
    assert fault(token, now=1005) == "expired"
    assert KEYS.verify(token, now=1034, leeway_s=30)["exp"] == 1005
    assert fault(token, now=1035, leeway_s=30) == "expired"


def test_a_token_from_the_future_is_not_valid_yet() -> None:
    assert fault(KEYS.mint({"role": "anon", "nbf": 2000}, 60), now=1000) == "malformed"


@pytest.mark.parametrize("exp", ["soon", True, float("inf"), float("nan"), 10**400, [1]])
def test_an_expiry_that_is_no_number_is_refused(exp: object) -> None:
    assert fault(jwt.encode({"role": "anon", "exp": exp}, KEYS.jwt_secret)) == "malformed"


def test_what_is_no_token_is_malformed() -> None:
    for text in ("", "a", "a.b.c", "é.é.é", "\ud800", "x" * 10_000, KEYS.anon_key.rpartition(".")[0], "." * 40):
        assert fault(text) == "malformed"


def test_unsigned_and_otherwise_signed_tokens_are_refused() -> None:
    claims = {"role": "service_role"}
    assert fault(jwt.encode(claims, None, algorithm="none")) == "signature"
    assert fault(jwt.encode(claims, "x" * 64, algorithm="HS256")) == "signature"
    assert fault(jwt.encode(claims, KEYS.jwt_secret + "x" * 64, algorithm="HS512")) == "signature"


@pytest.mark.parametrize("role", [None, "postgres", "authenticator", "supabase_auth_admin", "", 3, ["anon"]])
def test_a_role_that_is_not_ours_is_refused(role: object) -> None:
    assert fault(KEYS.mint({"role": role}, 60)) == "role"


def test_keys_survive_in_a_file_that_only_the_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = Keys.load_or_generate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keys.load_or_generate(path) == made
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"jwt_secret": "x"}', "\x00"])
def test_a_broken_key_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(StackError, match=r"keys\.json"):
        Keys.load(path)


def test_secrets_stay_out_of_the_repr() -> None:
    shown = repr(KEYS)
    assert not any(secret in shown for secret in (KEYS.jwt_secret, KEYS.secret_key, KEYS.service_key))
    assert json.dumps(KEYS.publishable_key).strip('"') in shown
