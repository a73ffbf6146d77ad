"""Keys of `connections:`, and what they come to with the provider's preset.

Rules over several keys are told next to any other fault of the same connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from agent.config.calls import Url
from agent.config.fields import Checked, Duration, Line, Secret, VariableName, Word, fault, text_of
from agent.config.part import Part, option
from agent.config.providers import GENERIC, PROVIDERS, Provider
from agent.config.tree import Node, Path
from agent.model import ClientAuth, Connection, Grant, HandOver, Thresholds

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OURS = {
    "client_id", "client_secret", "code", "code_challenge", "code_challenge_method", "code_verifier", "device_code",
    "grant_type", "redirect_uri", "refresh_token", "response_type", "scope", "state",
}  # fmt: skip
"""Parameters of RFC 6749, 7636 and 8628."""
_HOST_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,98}")


class Endpoint(Url):
    """An address of a provider: secrets go there, so https, or a server on this machine."""

    label: ClassVar[str] = "https URL"

    def _parse(self, value: Any) -> str:
        text: str = super()._parse(value)
        parts = urlsplit(text)
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise fault("is not https, and secrets are sent there; write https://…")
        if parts.username or parts.password or parts.fragment:
            raise fault("has a user, a password or a #fragment in it; drop them")
        return text


class HostPart(Checked):
    """A piece of a host name or path."""

    def _parse(self, value: Any) -> str:
        text = text_of(value).removesuffix(".myshopify.com")
        if not _HOST_PART.fullmatch(text):
            raise fault("is more than a name; use letters, digits, dashes and dots")
        return text


class ParameterName(Checked):
    """The name of a request's parameter that the agent does not set itself."""

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        if text in _OURS:
            raise fault("is set by the agent itself; drop it")
        return text


class TokenSpec(Part):
    """Where the tokens of connections are kept, when they are refreshed, and how many failures mean what."""

    store: Annotated[str, Word(("file", "keyring"))] = option(
        "`file`: in the state directory, readable by this user alone. `keyring`: in the system's keyring, which must "
        "be unlocked while the agent runs. Read at the start of the agent.",
        default="file",
        example="keyring",
    )
    sweep_every: Annotated[float, Duration("10s", "1h")] = option(
        "How often every connection is looked after.", default="5m", example="10m"
    )
    sweep_ahead: Annotated[float, Duration("1m", "1d")] = option(
        "What expires within so long is then refreshed; never more than a third of the token's lifetime.",
        default="20m",
        example="30m",
    )
    run_ahead: Annotated[float, Duration("0s", "1d")] = option(
        "Before a run, a token that expires within so long is refreshed; never more than a third of its lifetime.",
        default="15m",
        example="5m",
    )
    idle: Annotated[float, Duration("1h", "90d")] = option(
        "What neither a run nor a refresh has proved for so long is refreshed, so that a dead login is noticed.",
        default="1d",
        example="7d",
    )
    warn_at: Annotated[int, Field(ge=1, le=100)] = option(
        "Permanent failures in a row after which people are warned.", default=2, example=1
    )
    disconnect_at: Annotated[int, Field(ge=1, le=100)] = option(
        "Permanent failures in a row after which somebody must sign in again; a dead refresh token is enough at once.",
        default=3,
        example=5,
    )
    rate_limit_notice_at: Annotated[int, Field(ge=1, le=1000)] = option(
        "Transient failures in a row (rate limits, outages) after which people hear of it, once.",
        default=5,
        example=10,
    )


class ConnectionSpec(Part):
    """An OAuth 2 login that jobs use (`connection:`). Its key is its id. The tokens stay on this machine."""

    provider: Annotated[str, Word(tuple(PROVIDERS))] = option(
        "Preset that knows the addresses; each key below wins over it. `generic`: write them yourself.",
        default=GENERIC,
        example="google",
    )
    client_id: Annotated[str, Line(500)] = Field(
        description="Of the app or client that you registered with the provider.", examples=["${GOOGLE_CLIENT_ID}"]
    )
    client_secret: Annotated[str, Secret()] | None = option(
        "Its secret; without one it is a public client.", example="${keyring:google-client-secret}"
    )
    scopes: list[Annotated[str, Line(500)]] = option("What is asked for.", default=[], example=["openid", "email"])
    grant: Annotated[str, Word(tuple(Grant))] | None = option(
        "How the first token is obtained. `device_code`: a person types a code into any browser. `authorization_code`: "
        "in the browser. `client_credentials`: nobody signs in. Default: the preset's, else `device_code` where there "
        "is a `device_url`, else `authorization_code`.",
        example="client_credentials",
    )
    shop: Annotated[str, HostPart()] | None = option("Shopify: the shop's name in its address.", example="my-shop")
    tenant: Annotated[str, HostPart()] | None = option(
        "Microsoft: tenant. Default: `common`.", example="contoso.onmicrosoft.com"
    )
    token_url: Annotated[str, Endpoint()] | None = option(
        "Where tokens are given out.", example="https://id.example.com/token"
    )
    authorization_url: Annotated[str, Endpoint()] | None = option(
        "Where a person signs in.", example="https://id.example.com/authorize"
    )
    device_url: Annotated[str, Endpoint()] | None = option(
        "Where device codes are given out (RFC 8628).", example="https://id.example.com/device"
    )
    revocation_url: Annotated[str, Endpoint()] | None = option(
        "Where tokens are revoked (RFC 7009).", example="https://id.example.com/revoke"
    )
    refresh_url: Annotated[str, Endpoint()] | None = option(
        "Where tokens are refreshed, if not at `token_url`.", example="https://id.example.com/refresh"
    )
    client_auth: Annotated[str, Word(tuple(ClientAuth))] | None = option(
        "How the client says who it is. `basic`: in a header. `post`: in the body. `none`: its id alone. "
        "Default: the preset's, else `basic`; without `client_secret` `none`.",
        example="post",
    )
    pkce: bool | None = option("Whether PKCE (RFC 7636) is used. Default: the preset's, else true.", example=False)
    extra: dict[Annotated[str, ParameterName()], Annotated[str, Line(2000)]] = option(
        "Further parameters of the address where a person signs in.", default={}, example={"login_hint": "me"}
    )
    token_extra: dict[Annotated[str, ParameterName()], Annotated[str, Line(2000)]] = option(
        "Further parameters of token requests.", default={}, example={"audience": "https://api.example.com"}
    )
    redirect_uri: Annotated[str, Endpoint()] | None = option(
        "Address registered with the provider, where it accepts none of this machine's: after signing in, the person "
        "hands over where the browser ended. Default: `http://127.0.0.1:PORT/callback`.",
        example="https://example.com/oauth",
    )
    redirect_port: Annotated[int, Field(ge=1024, le=65535)] | None = option(
        "PORT of that, where the provider compares it. Default: any free one (RFC 8252).", example=53682
    )
    account_url: Annotated[str, Endpoint()] | None = option(
        "Where the access token tells whose it is, as JSON; see `account_field`.",
        example="https://id.example.com/userinfo",
    )
    account_field: Annotated[str, Line(100)] | None = option(
        "Field of the token answer, the ID token or `account_url` that names the account, with dots for inner ones. "
        "A reconnection must be to the same account.",
        example="email",
    )
    env: Annotated[str, VariableName()] | None = option(
        "Variable that hands the access token to jobs. Default: the id in capitals and `_ACCESS_TOKEN`; with "
        "`hand_over: file` also `_FILE`.",
        example="GOOGLE_TOKEN",
    )
    hand_over: Annotated[str, Word(tuple(HandOver))] = option(
        "`env`: the variable holds the token. `file`: it holds the path of a file (0600) with the token in it.",
        default="env",
        example="file",
    )


def thresholds_of(spec: TokenSpec) -> Thresholds:
    """As the keeper has them."""
    return Thresholds(
        sweep_every_s=spec.sweep_every,
        sweep_ahead_s=spec.sweep_ahead,
        run_ahead_s=spec.run_ahead,
        idle_s=spec.idle,
        warn_at=spec.warn_at,
        disconnect_at=spec.disconnect_at,
        rate_limit_notice_at=spec.rate_limit_notice_at,
    )


def connection_of(connection_id: str, spec: ConnectionSpec) -> Connection:
    """The connection, the preset's values where the YAML says nothing."""
    preset = PROVIDERS[spec.provider]
    grant = _grant(spec, preset)
    secret = spec.client_secret
    auth = ClientAuth(spec.client_auth or preset.client_auth) if secret else ClientAuth.NONE
    always = () if grant is Grant.CLIENT_CREDENTIALS else preset.always
    return Connection(
        connection_id=connection_id,
        provider=spec.provider,
        client_id=spec.client_id,
        client_secret=secret,
        token_url=spec.token_url or _filled(preset.token_url, spec, preset) or "",
        authorization_url=spec.authorization_url or _filled(preset.authorization_url, spec, preset),
        device_url=spec.device_url or _filled(preset.device_url, spec, preset),
        revocation_url=spec.revocation_url or preset.revocation_url,
        refresh_url=spec.refresh_url or (preset.refresh_url if not spec.token_url else None),
        scopes=tuple(dict.fromkeys((*spec.scopes, *always))),
        scope_separator=preset.scope_separator,
        grant=grant,
        client_auth=auth,
        body=preset.body,
        pkce=spec.pkce if spec.pkce is not None else preset.pkce or not secret,
        revocation=preset.revocation,
        extra={**preset.extra, **spec.extra},
        token_extra={**preset.token_extra, **spec.token_extra},
        headers=preset.headers,
        redirect_uri=spec.redirect_uri,
        redirect_port=spec.redirect_port,
        account_fields=(spec.account_field,) if spec.account_field else preset.account_fields,
        account_parameter=preset.account_parameter,
        account_url=spec.account_url or preset.account_url,
        env=spec.env or _variable(connection_id, spec.hand_over),
        hand_over=HandOver(spec.hand_over),
    )


def connection_faults(tree: Node) -> Iterator[tuple[Path, str]]:
    """(path, message) of what is missing from connections, and of jobs that name one that is not there."""
    connections, jobs = tree.child("connections"), tree.child("jobs")
    known = list((connections.entries if connections else None) or ())
    for connection_id in known:
        node = tree.at(("connections", connection_id))
        if node is not None and node.entries is not None:
            yield from _lacking(node, ("connections", connection_id))
    for job_id, entry in ((jobs.entries if jobs else None) or {}).items():
        named = entry.node.child("connection")
        if named is not None and named.text and not named.null and named.text not in known:
            yield ("jobs", job_id, "connection"), _unknown(named.text, known)


def _unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f'"{name}" is none of the connections; did you mean {close[0]}?'
    return f'"{name}" is none of the connections ({", ".join(known) or "there are none"}); add it to `connections:`'


def _lacking(node: Node, path: Path) -> Iterator[tuple[Path, str]]:
    """Keys that the grant needs and neither the file nor the preset has."""
    written = {key for key, entry in (node.entries or {}).items() if not entry.node.null}
    provider = node.child("provider")
    name = (provider.text if provider is not None and "provider" in written else GENERIC) or GENERIC
    preset = PROVIDERS.get(name)
    if preset is None:
        return  # an unknown word: the schema complains
    for key in preset.needs:
        if key not in written and not {"authorization_url", "token_url"} <= written:
            yield path, f"needs `{key}:` for provider {name}"
    if not preset.token_url and "token_url" not in written:
        yield path, "needs `token_url:`, or a `provider:` whose preset has it"
    yield from _grant_faults(node, preset, written, path)


def _grant_faults(node: Node, preset: Provider, written: set[str], path: Path) -> Iterator[tuple[Path, str]]:
    chosen = node.child("grant")
    grant = chosen.text if chosen is not None and "grant" in written else None
    if grant == Grant.CLIENT_CREDENTIALS:
        if "client_secret" not in written:
            yield path, "needs `client_secret:` for `grant: client_credentials`"
        return
    has_device = bool(preset.device_url) or "device_url" in written
    has_browser = bool(preset.authorization_url) or "authorization_url" in written
    if grant == Grant.DEVICE_CODE and not has_device:
        yield (*path, "grant"), "needs `device_url:`"
    elif (grant == Grant.AUTHORIZATION_CODE and not has_browser) or not (has_device or has_browser):
        at = (*path, "grant") if grant else path
        yield at, "needs `authorization_url:`" + ("" if grant else " (or `device_url:`, or another `grant:`)")


def _grant(spec: ConnectionSpec, preset: Provider) -> Grant:
    if spec.grant:
        return Grant(spec.grant)
    if spec.device_url and spec.provider == GENERIC:
        return Grant.DEVICE_CODE
    return preset.grant


def _filled(url: str | None, spec: ConnectionSpec, preset: Provider) -> str | None:
    return url.format(shop=spec.shop or "", tenant=spec.tenant or preset.tenant or "") if url else None


def _variable(connection_id: str, hand_over: str) -> str:
    name = re.sub(r"[^A-Z0-9]", "_", connection_id.upper())
    name = f"_{name}" if name[0].isdigit() else name
    return f"{name}_ACCESS_TOKEN" + ("_FILE" if hand_over == HandOver.FILE else "")
