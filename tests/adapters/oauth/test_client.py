"""`OAuthProviders` against a real provider on loopback: every grant, every fault, and no secret anywhere."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from agent.adapters.clock import SystemClock
from agent.adapters.oauth import OAuthProviders
from agent.model import (
    INVALID_GRANT,
    BodyStyle,
    ClientAuth,
    DevicePrompt,
    Failure,
    FailureKind,
    Grant,
    Revocation,
    Tokens,
)
from tests.support.http_server import plain, serving
from tests.support.oauth_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    OAuthProvider,
    broken,
    lost_answer,
    refusal,
    silence,
    slow,
    too_many,
)
from tests.support.waiting import wait_until

REDIRECT = "http://127.0.0.1:4711/callback"


class QuickClock(SystemClock):
    """Waits are told, not waited."""

    def __init__(self):
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def provider():
    with OAuthProvider() as running:
        yield running


@pytest.fixture
def clock():
    return QuickClock()


@pytest.fixture
async def oauth(clock):
    client = OAuthProviders(clock)
    yield client
    await client.aclose()


def stored(given) -> Tokens:
    """The tokens as this box would have them."""
    return Tokens(
        access_token=given.access_token,
        refresh_token=given.refresh_token,
        obtained_at=datetime.now(UTC),
        account=given.user,
        scopes=("files.read",),
    )


async def browse(url: str) -> dict[str, str]:
    """What the browser brings back."""
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(url)
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def test_a_person_signs_in_with_pkce_and_state(provider, oauth):
    connection = provider.connection()
    begun = oauth.sign_in(connection, REDIRECT)
    asked = parse_qs(urlsplit(begun.url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["state"] == [begun.state]
    assert asked["scope"] == ["files.read openid"]
    assert begun.verifier not in begun.url
    back = await browse(begun.url)
    assert back["state"] == begun.state
    before = datetime.now(UTC)
    tokens = await oauth.exchange(connection, begun, back["code"])
    assert isinstance(tokens, Tokens)
    assert provider.accepts(tokens.access_token)
    assert tokens.account == "ada@example.com", "asked at account_url"
    assert tokens.scopes == ("files.read", "openid")
    assert before - timedelta(seconds=1) <= tokens.obtained_at <= datetime.now(UTC)
    assert tokens.lifetime_s == 3600


async def test_further_parameters_may_be_called_anything(provider, oauth):
    named = {"uri": "u", "body": "a b&c"}
    connection = provider.connection(extra=named, token_extra=named)
    begun = oauth.sign_in(connection, REDIRECT)
    asked = parse_qs(urlsplit(begun.url).query)
    assert (asked["uri"], asked["body"], asked["client_id"]) == (["u"], ["a b&c"], [CLIENT_ID])
    assert isinstance(await oauth.renew(connection, stored(provider.sign_in_now())), Tokens)
    assert provider.requests_of("/token")[0].form["body"] == "a b&c"


async def test_a_code_is_worthless_without_the_verifier_and_a_second_time(provider, oauth):
    connection = provider.connection()
    begun = oauth.sign_in(connection, REDIRECT)
    back = await browse(begun.url)
    stolen = await oauth.exchange(connection, replace(begun, verifier="x" * 64), back["code"])
    assert isinstance(stolen, Failure)
    assert isinstance(await oauth.exchange(connection, begun, back["code"]), Tokens)
    again = await oauth.exchange(connection, begun, back["code"])
    assert isinstance(again, Failure)
    assert again.code == INVALID_GRANT


async def test_two_sign_ins_share_nothing(provider, oauth):
    first, second = (oauth.sign_in(provider.connection(), REDIRECT) for _ in range(2))
    assert first.state != second.state
    assert first.verifier != second.verifier
    assert first.verifier not in repr(first)


async def test_the_redirect_may_name_the_account(provider, oauth):
    connection = provider.connection()
    begun = oauth.sign_in(connection, REDIRECT)
    back = await browse(begun.url)
    tokens = await oauth.exchange(connection, begun, back["code"], account="realm 7")
    assert tokens.account == "realm 7"


async def test_a_refresh_brings_new_tokens_and_ends_the_old_one(provider, oauth):
    old = stored(provider.sign_in_now())
    new = await oauth.renew(provider.connection(), old)
    assert isinstance(new, Tokens)
    assert new.access_token != old.access_token
    assert new.refresh_token not in (None, old.refresh_token)
    assert new.account == "ada@example.com"
    reused = await oauth.renew(provider.connection(), old)
    assert isinstance(reused, Failure)
    assert (reused.kind, reused.code) == (FailureKind.PERMANENT, INVALID_GRANT)
    assert not provider.accepts(new.access_token), "a refresh token used twice ends the login"


async def test_without_rotation_the_old_refresh_token_goes_on(provider, oauth):
    provider.rotation = False
    old = stored(provider.sign_in_now())
    new = await oauth.renew(provider.connection(), old)
    assert new.refresh_token == old.refresh_token
    assert isinstance(await oauth.renew(provider.connection(), new), Tokens)


async def test_without_a_refresh_token_only_signing_in_helps(provider, oauth):
    tokens = replace(stored(provider.sign_in_now()), refresh_token=None)
    for have in (tokens, None):
        found = await oauth.renew(provider.connection(), have)
        assert (found.kind, found.code) == (FailureKind.PERMANENT, INVALID_GRANT)
    assert provider.asked == []


async def test_client_credentials_need_nobody(provider, oauth):
    connection = provider.connection(grant=Grant.CLIENT_CREDENTIALS, token_extra={"audience": "api"})
    first = await oauth.renew(connection, None)
    second = await oauth.renew(connection, first)
    assert provider.accepts(first.access_token)
    assert first.access_token != second.access_token
    form = provider.requests_of("/token")[0].form
    assert form == {"grant_type": "client_credentials", "scope": "files.read openid", "audience": "api"}


@pytest.mark.parametrize("auth", list(ClientAuth))
@pytest.mark.parametrize("body", list(BodyStyle))
async def test_the_client_says_who_it_is_as_the_provider_wants_it(provider, oauth, auth, body):
    connection = provider.connection(client_auth=auth, body=body, headers={"Notion-Version": "2025-09-03"})
    assert isinstance(await oauth.renew(connection, stored(provider.sign_in_now())), Tokens)
    asked = provider.requests_of("/token")[0]
    assert ("client_secret" in asked.form) is (auth is ClientAuth.POST)
    assert asked.headers["authorization"].startswith("Basic ") is (auth is ClientAuth.BASIC)
    assert ("client_id" in asked.form) is (auth is not ClientAuth.BASIC)
    assert asked.headers["content-type"].endswith("json") is (body is BodyStyle.JSON)
    assert asked.headers["notion-version"] == "2025-09-03"
    assert CLIENT_SECRET not in asked.path


async def test_where_one_refreshes_elsewhere_the_secret_stays_here(provider, oauth):
    connection = provider.connection(refresh_url=f"{provider.url}/token", token_url=f"{provider.url}/other")
    assert isinstance(await oauth.renew(connection, stored(provider.sign_in_now())), Tokens)
    asked = provider.requests_of("/token")[0]
    assert asked.headers["authorization"] == ""
    assert asked.form["client_id"] == CLIENT_ID


@pytest.mark.parametrize(
    ("fault", "kind", "code", "wait_s"),
    [
        (too_many("7"), FailureKind.RATE_LIMIT, "rate_limited", 7.0),
        (broken(500), FailureKind.TRANSIENT, "http_500", None),
        (broken(503), FailureKind.TRANSIENT, "http_503", None),
        (lost_answer(), FailureKind.TRANSIENT, "unreachable", None),
        (refusal("invalid_grant"), FailureKind.PERMANENT, "invalid_grant", None),
        (refusal("temporarily_unavailable"), FailureKind.TRANSIENT, "temporarily_unavailable", None),
        (refusal("invalid_client", 401), FailureKind.PERMANENT, "invalid_client", None),
    ],
    ids=lambda each: (getattr(each, "body", None) and "") or str(each)[:20],
)
async def test_each_fault_is_a_failure_of_its_kind(provider, oauth, fault, kind, code, wait_s):
    provider.faults.append(fault)
    found = await oauth.renew(provider.connection(), stored(provider.sign_in_now()))
    assert isinstance(found, Failure)
    assert (found.kind, found.code, found.retry_after_s) == (kind, code, wait_s)


async def test_silence_is_a_timeout_and_a_slow_answer_is_none(provider, clock):
    hasty = OAuthProviders(clock, timeout_s=0.3)
    provider.faults.append(silence())
    tokens = stored(provider.sign_in_now())
    found = await hasty.renew(provider.connection(), tokens)
    assert (found.kind, found.code) == (FailureKind.TRANSIENT, "timeout")
    await hasty.aclose()
    patient = OAuthProviders(clock)
    provider.faults.append(slow(0.05))
    assert isinstance(await patient.renew(provider.connection(), tokens), Tokens)
    await patient.aclose()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/token", "http://no-such-name.invalid/token"])
async def test_who_cannot_be_reached_is_named_and_nothing_else(provider, oauth, url):
    tokens = stored(provider.sign_in_now())
    found = await oauth.renew(provider.connection(token_url=url), tokens)
    assert (found.kind, found.code) == (FailureKind.TRANSIENT, "unreachable")
    assert urlsplit(url).hostname in found.message
    assert tokens.refresh_token not in found.message


async def test_a_redirect_is_not_followed_with_secrets(provider, oauth):
    async with serving(plain(status="307 Temporary Redirect", Location=f"{provider.url}/token")) as elsewhere:
        connection = provider.connection(token_url=f"{elsewhere.url}/token")
        found = await oauth.renew(connection, stored(provider.sign_in_now()))
    assert (found.kind, found.code) == (FailureKind.TRANSIENT, "http_307")
    assert provider.asked == []


async def test_a_flood_is_no_token_answer(provider, oauth):
    async with serving(plain(b"x" * (2 << 20))) as flood:
        found = await oauth.renew(provider.connection(token_url=flood.url), stored(provider.sign_in_now()))
    assert (found.kind, found.code) == (FailureKind.TRANSIENT, "unreachable")


async def test_a_device_is_signed_in_elsewhere(provider, oauth, clock):
    connection = provider.connection(client_auth=ClientAuth.NONE, client_secret=None)
    prompt = await oauth.begin_device(connection)
    assert isinstance(prompt, DevicePrompt)
    assert prompt.verification_uri == f"{provider.url}/activate"
    assert prompt.verification_uri_complete.endswith(prompt.user_code)
    assert prompt.device_code not in repr(prompt)
    waiting = asyncio.create_task(oauth.finish_device(connection, prompt))
    await wait_until(lambda: len(provider.requests_of("/token")) >= 2)
    provider.answer_device(prompt.user_code)
    tokens = await waiting
    assert provider.accepts(tokens.access_token)
    assert tokens.account == "ada@example.com"
    assert set(clock.slept) == {5.0}


async def test_a_device_asks_less_often_when_told_so_and_when_nobody_answers(provider, oauth, clock):
    connection = provider.connection()
    prompt = await oauth.begin_device(connection)
    provider.faults += [refusal("slow_down"), broken(502), too_many("40"), refusal("authorization_pending")]
    provider.answer_device(prompt.user_code)
    assert isinstance(await oauth.finish_device(connection, prompt), Tokens)
    assert clock.slept == [5.0, 10.0, 15.0, 40.0, 40.0]


async def test_a_person_may_refuse_a_device(provider, oauth):
    connection = provider.connection()
    prompt = await oauth.begin_device(connection)
    provider.answer_device(prompt.user_code, allowed=False)
    found = await oauth.finish_device(connection, prompt)
    assert (found.kind, found.code) == (FailureKind.PERMANENT, "access_denied")


async def test_a_device_code_expires(provider, oauth, clock):
    connection = provider.connection()
    prompt = await oauth.begin_device(connection)
    late = replace(prompt, expires_at=datetime.now(UTC))
    assert (await oauth.finish_device(connection, late)).code == "expired_token"
    assert clock.slept == []


async def test_a_device_flow_that_is_refused_says_why(provider, oauth):
    found = await oauth.begin_device(provider.connection(client_id="nobody"))
    assert (found.kind, found.code) == (FailureKind.PERMANENT, "invalid_client")
    nowhere = await oauth.begin_device(provider.connection(device_url="http://127.0.0.1:1/"))
    assert nowhere.kind is FailureKind.TRANSIENT


async def test_revoking_ends_the_login(provider, oauth):
    given = provider.sign_in_now()
    assert await oauth.revoke(provider.connection(), stored(given)) is None
    assert not provider.accepts(given.access_token)
    asked = [each.form["token"] for each in provider.requests_of("/revoke")]
    assert asked == [given.refresh_token, given.access_token], "some providers know only one of the two"


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        (("200 OK", "400 Bad Request"), None),
        (("400 Bad Request", "200 OK"), None),
        (("400 Bad Request", "400 Bad Request"), FailureKind.PERMANENT),
        (("200 OK", "503 Service Unavailable"), FailureKind.TRANSIENT),
    ],
)
async def test_one_of_two_tokens_is_enough_to_revoke_and_trouble_is_none(provider, oauth, statuses, kind):
    left = list(statuses)

    async def answer(_asked, writer):
        status = left.pop(0)
        writer.write(plain(b"{}" if status == "200 OK" else b'{"error": "invalid_token"}', status=status))

    async with serving(answer) as server:
        connection = provider.connection(revocation_url=server.url)
        found = await oauth.revoke(connection, stored(provider.sign_in_now()))
    assert (found.kind if found else None) == kind


async def test_some_revoke_the_token_that_asks(provider, oauth):
    given = provider.sign_in_now()
    connection = provider.connection(revocation=Revocation.BEARER, revocation_url=f"{provider.url}/me")
    assert await oauth.revoke(connection, replace(stored(given), access_token="at-unknown")) is not None
    assert await oauth.revoke(connection, stored(given)) is None
    assert provider.requests_of("/me")[1].headers["authorization"] == f"Bearer {given.access_token}"


async def test_a_refused_or_impossible_revocation_says_so(provider, oauth):
    tokens = stored(provider.sign_in_now())
    without = await oauth.revoke(provider.connection(revocation_url=None, provider="clover"), tokens)
    assert without.code == "unsupported_revocation"
    assert "clover" in without.message
    wrong = await oauth.revoke(provider.connection(client_id="nobody"), tokens)
    assert wrong.code == "invalid_client"
    nobody = await oauth.revoke(provider.connection(revocation_url="http://127.0.0.1:1/"), tokens)
    assert nobody.kind is FailureKind.TRANSIENT


async def test_no_secret_is_in_messages_logs_or_reprs(provider, oauth, caplog):
    caplog.set_level(logging.DEBUG)
    given = provider.sign_in_now()
    provider.faults.append(refusal("invalid_request", error_description=f"{given.refresh_token} {CLIENT_SECRET}"))
    found = await oauth.renew(provider.connection(), stored(given))
    tokens = await oauth.renew(provider.connection(), stored(given))
    shown = f"{found!r} {tokens!r} {provider.connection()!r} {caplog.text}"
    for secret in (given.refresh_token, given.access_token, tokens.access_token, tokens.refresh_token, CLIENT_SECRET):
        assert secret not in shown
