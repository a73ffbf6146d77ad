"""`agent.ports.OAuth` over httpx. Close it.

Requests are written by Authlib (grants, PKCE, client authentication); its own client is not used, for it shows neither
status nor `Retry-After` nor a refusal that is not RFC 6749's, and is leaving httpx. Nothing is retried here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl

import httpx
from authlib.common.security import generate_token
from authlib.common.urls import add_params_to_qs, add_params_to_uri
from authlib.oauth2.auth import ClientAuth as Authenticator
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE

from agent.adapters.oauth.answers import account_of, body_of, tokens_of
from agent.adapters.oauth.failures import failure_of, without_secrets
from agent.model import (
    INVALID_GRANT,
    BodyStyle,
    ClientAuth,
    Connection,
    DevicePrompt,
    Failure,
    FailureKind,
    Grant,
    Json,
    Revocation,
    SignIn,
    Tokens,
)
from agent.ports import Clock, OAuth

TIMEOUT_S: Final = 30.0
"""Of one request, all of it."""
MOST_BYTES: Final = 1 << 20
"""No token answer is longer."""
SLOW_DOWN_S: Final = 5.0
"""What `slow_down` adds to the interval, for good (RFC 8628 §3.5)."""
LONGEST_INTERVAL_S: Final = 60.0

_STATE_LENGTH: Final = 43
_VERIFIER_LENGTH: Final = 64
"""RFC 7636 §4.1: 43 to 128."""
_PENDING: Final = ("authorization_pending",)
_DEFAULT_DEVICE_S: Final = 900.0
_AUTHENTICATIONS: Final = {
    ClientAuth.BASIC: "client_secret_basic",
    ClientAuth.POST: "client_secret_post",
    ClientAuth.NONE: "none",
}


class OAuthProviders(OAuth):
    """Talks to every provider over one client that keeps no cookie and follows no redirect."""

    def __init__(self, clock: Clock, *, timeout_s: float = TIMEOUT_S, trust: ssl.SSLContext | None = None) -> None:
        """`trust`: what certificates are judged by; None: the usual authorities (or `SSL_CERT_FILE`)."""
        self._clock = clock
        self._timeout_s = timeout_s
        self._trust = trust
        self._client: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.aclose()

    async def renew(self, connection: Connection, tokens: Tokens | None) -> Tokens | Failure:
        """See the port."""
        scope = _scope(connection)
        if connection.grant is Grant.CLIENT_CREDENTIALS:
            asked = {"grant_type": "client_credentials", "scope": scope}
            return await self._ask(connection, connection.token_url, asked)
        if tokens is None or tokens.refresh_token is None:
            return Failure(
                kind=FailureKind.PERMANENT, code=INVALID_GRANT, message="there is no refresh token; sign in again"
            )
        asked = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        url = connection.refresh_url or connection.token_url
        return await self._ask(connection, url, asked, old=tokens)

    def sign_in(self, connection: Connection, redirect_uri: str) -> SignIn:
        """See the port."""
        state, verifier = generate_token(_STATE_LENGTH), generate_token(_VERIFIER_LENGTH) if connection.pkce else None
        challenge = {}
        if verifier:
            challenge = {"code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256"}
        url = prepare_grant_uri(
            connection.authorization_url,
            client_id=connection.client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=_scope(connection),
            state=state,
            **challenge,
        )
        url = add_params_to_uri(url, list(connection.extra.items()))
        return SignIn(url=url, state=state, redirect_uri=redirect_uri, verifier=verifier)

    async def exchange(
        self, connection: Connection, sign_in: SignIn, code: str, *, account: str | None = None
    ) -> Tokens | Failure:
        """See the port."""
        asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": sign_in.redirect_uri}
        if sign_in.verifier:
            asked["code_verifier"] = sign_in.verifier
        given = await self._ask(connection, connection.token_url, asked)
        return await self._named(connection, given, account)

    async def begin_device(self, connection: Connection) -> DevicePrompt | Failure:
        """See the port."""
        asked_at = self._clock.now()
        answer = await self._post(connection, connection.device_url or "", {"scope": _scope(connection)})
        if isinstance(answer, Failure):
            return answer
        body = answer.body if isinstance(answer.body, dict) else {}
        where = body.get("verification_uri") or body.get("verification_url")
        device_code, user_code = body.get("device_code"), body.get("user_code")
        if not (answer.good and where and device_code and user_code):
            return self._refused(connection, answer, ())
        return DevicePrompt(
            device_code=str(device_code),
            user_code=str(user_code),
            verification_uri=str(where),
            verification_uri_complete=_text(body.get("verification_uri_complete")),
            interval_s=_seconds(body.get("interval"), 5.0),
            expires_at=asked_at + timedelta(seconds=_seconds(body.get("expires_in"), _DEFAULT_DEVICE_S)),
        )

    async def finish_device(self, connection: Connection, prompt: DevicePrompt) -> Tokens | Failure:
        """See the port."""
        asked = {"grant_type": DEVICE_CODE_GRANT_TYPE, "device_code": prompt.device_code}
        interval_s = prompt.interval_s
        while self._clock.now() < prompt.expires_at:
            await self._clock.sleep(interval_s)
            given = await self._ask(connection, connection.token_url, asked)
            if isinstance(given, Tokens):
                return await self._named(connection, given, None)
            if given.code in _PENDING:
                continue
            if given.kind is FailureKind.PERMANENT:
                return given
            # slow_down, or trouble on the way: RFC 8628 §3.5 wants both answered by asking less often
            interval_s = min(max(interval_s + SLOW_DOWN_S, given.retry_after_s or 0.0), LONGEST_INTERVAL_S)
        return Failure(kind=FailureKind.PERMANENT, code="expired_token", message="nobody signed in in time; try again")

    async def revoke(self, connection: Connection, tokens: Tokens) -> Failure | None:
        """See the port."""
        url = connection.revocation_url
        if url is None:
            message = f"{connection.provider} has no address for it; revoke the access in your account there"
            return Failure(kind=FailureKind.PERMANENT, code="unsupported_revocation", message=message)
        if connection.revocation is Revocation.BEARER:
            bearer = {"authorization": f"Bearer {tokens.access_token}"}
            return self._told(connection, await self._send("POST", url, {**connection.headers, **bearer}, b""), tokens)
        # Some know only refresh tokens there (HubSpot), some only access tokens (Notion); the first may end the second.
        found = [
            self._told(connection, await self._post(connection, url, {"token": token}), tokens)
            for token in (tokens.refresh_token, tokens.access_token)
            if token
        ]
        trouble = next((each for each in found if each and each.kind is not FailureKind.PERMANENT), None)
        return trouble or (None if None in found else found[0])

    def _told(self, connection: Connection, answer: _Answer | Failure, tokens: Tokens) -> Failure | None:
        """What became of one revocation."""
        if isinstance(answer, Failure):
            return answer
        refused = isinstance(answer.body, dict) and ("error" in answer.body or answer.body.get("ok") is False)
        if answer.good and not refused:
            return None
        return self._refused(connection, answer, (tokens.access_token, tokens.refresh_token or ""))

    async def _ask(
        self, connection: Connection, url: str, asked: Mapping[str, str | None], *, old: Tokens | None = None
    ) -> Tokens | Failure:
        """Ask the token endpoint."""
        asked_at = self._clock.now()
        answer = await self._post(connection, url, asked, connection.token_extra)
        if isinstance(answer, Failure):
            return answer
        if answer.good and isinstance(answer.body, dict) and not answer.body.get("error"):
            tokens = tokens_of(connection, answer.body, asked_at=asked_at, old=old)
            if tokens is not None:
                return tokens
        return self._refused(connection, answer, tuple(each for each in asked.values() if each and len(each) > 15))  # noqa: PLR2004  # no grant type's name

    async def _named(self, connection: Connection, given: Tokens | Failure, account: str | None) -> Tokens | Failure:
        """With the account's name, from the redirect or else from the provider's address for it."""
        if isinstance(given, Failure):
            return given
        if account:
            return replace(given, account=account)
        if given.account or connection.account_url is None:
            return given
        headers = {"authorization": f"Bearer {given.access_token}"}
        answer = await self._send("GET", connection.account_url, headers, None)
        if isinstance(answer, Failure) or not answer.good or not isinstance(answer.body, dict):
            return given  # a login without a name is one all the same
        return replace(given, account=account_of(answer.body, (*connection.account_fields, "email", "sub")))

    async def _post(
        self,
        connection: Connection,
        url: str,
        asked: Mapping[str, str | None],
        further: Mapping[str, str] | None = None,
    ) -> _Answer | Failure:
        """A request in the client's name, written as the provider wants it."""
        said = {name: value for name, value in asked.items() if value}
        # Clover, the one that refreshes elsewhere, wants no secret there.
        alone = url == connection.refresh_url
        auth = ClientAuth.NONE if alone else connection.client_auth
        grant = said.pop("grant_type", None)
        form = prepare_token_request(grant, **said) if grant else add_params_to_qs("", list(said.items()))
        form = add_params_to_qs(form, list((further or {}).items()))
        headers: dict[str, str] = {"accept": "application/json", **connection.headers}
        client = Authenticator(connection.client_id, connection.client_secret, _AUTHENTICATIONS[auth])
        _, headers, form = client.prepare("POST", url, headers, form)
        if connection.body is BodyStyle.JSON:
            headers["content-type"] = "application/json"
            return await self._send("POST", url, headers, json.dumps(dict(parse_qsl(form))).encode())
        headers["content-type"] = "application/x-www-form-urlencoded"
        return await self._send("POST", url, headers, form.encode())

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> _Answer | Failure:
        if self._client is None:
            self._client = _open(self._trust)
        try:
            async with asyncio.timeout(self._timeout_s):
                async with self._client.stream(method, url, headers=headers, content=body) as response:
                    return await _Answer.of(response)
        except TimeoutError:
            return _trouble("timeout", url, f"did not answer within {self._timeout_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as err:
            return _trouble("unreachable", url, f"could not be reached ({type(err).__name__})")

    def _refused(self, connection: Connection, answer: _Answer, secrets: tuple[str, ...]) -> Failure:
        known = (*secrets, connection.client_secret or "")
        return failure_of(answer.status, answer.headers, answer.body, answer.text, secrets=known, now=self._clock.now())


class _Answer:
    """A whole answer."""

    def __init__(self, status: int, headers: Mapping[str, str], text: str) -> None:
        self.status = status
        self.headers = headers
        self.text = text
        self.body: Json = body_of(headers.get("content-type", ""), text)

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004  # RFC 9110 §15.3

    @classmethod
    async def of(cls, response: httpx.Response) -> _Answer:
        data = bytearray()
        async for piece in response.aiter_bytes():
            data += piece
            if len(data) > MOST_BYTES:
                raise ValueError("longer than any token answer")
        return cls(response.status_code, response.headers, bytes(data).decode("utf-8", "replace"))


def _open(trust: ssl.SSLContext | None) -> httpx.AsyncClient:
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every URL
    return httpx.AsyncClient(verify=trust or True, timeout=None, headers={"user-agent": "cronmirror"})  # noqa: S113  # each request has one


def _trouble(code: str, url: str, what: str) -> Failure:
    host = without_secrets(httpx.URL(url).host if "://" in url else url, ())
    return Failure(kind=FailureKind.TRANSIENT, code=code, message=f"{host} {what}")


def _scope(connection: Connection) -> str | None:
    return connection.scope_separator.join(connection.scopes) or None


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds(value: Json, otherwise: float) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return otherwise
    return seconds if 0 < seconds < 86_400 else otherwise  # noqa: PLR2004  # a day
