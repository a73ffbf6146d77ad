"""Connections: what the YAML says about them, what a provider gives or refuses, and where they stand.

No token and no secret is in any repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from agent.model.value import Value


class Grant(StrEnum):
    """How the first token is obtained; each later one with the refresh token, or the same way where there is none."""

    AUTHORIZATION_CODE = "authorization_code"
    """A person signs in in a browser (RFC 6749 §4.1, RFC 8252)."""
    DEVICE_CODE = "device_code"
    """A person types a code into a browser anywhere (RFC 8628)."""
    CLIENT_CREDENTIALS = "client_credentials"
    """Nobody signs in: the client itself is the account (RFC 6749 §4.4)."""


class ClientAuth(StrEnum):
    """How the client says who it is (RFC 6749 §2.3.1)."""

    BASIC = "basic"
    POST = "post"
    NONE = "none"
    """A public client: its id alone."""


class BodyStyle(StrEnum):
    """How a token request is written."""

    FORM = "form"
    """As RFC 6749 has it."""
    JSON = "json"


class Revocation(StrEnum):
    """What revokes a token."""

    TOKEN = "token"  # noqa: S105
    """The token in the body (RFC 7009)."""
    BEARER = "bearer"
    """An empty request under the access token itself."""


class HandOver(StrEnum):
    """How a job gets the access token."""

    ENV = "env"
    """The variable holds the token."""
    FILE = "file"
    """The variable holds the path of a file (0600) that holds the token."""


@dataclass(frozen=True, kw_only=True)
class Connection(Value):
    """A connection as configured, its provider's preset filled in."""

    connection_id: str
    provider: str
    """Name of the preset; `generic` without one."""
    token_url: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    authorization_url: str | None = None
    device_url: str | None = None
    revocation_url: str | None = None
    refresh_url: str | None = None
    """Where the provider refreshes at another address than `token_url`."""
    scopes: tuple[str, ...] = ()
    scope_separator: str = " "
    grant: Grant = Grant.AUTHORIZATION_CODE
    client_auth: ClientAuth = ClientAuth.BASIC
    body: BodyStyle = BodyStyle.FORM
    pkce: bool = True
    revocation: Revocation = Revocation.TOKEN
    extra: Mapping[str, str] = field(default_factory=dict)
    """Added to the authorization URL."""
    token_extra: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to token requests."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent along to the token and revocation endpoints."""
    redirect_uri: str | None = None
    """Registered address that is not on this machine: a person hands over where the browser ended. None: loopback."""
    redirect_port: int | None = None
    """Loopback port, for providers that compare it; None: any free one (RFC 8252 §7.3)."""
    account_fields: tuple[str, ...] = ()
    """Dotted paths in a token answer, the first that is there names the account; then the ID token's claims."""
    account_parameter: str | None = None
    """Query parameter of the redirect that names the account."""
    account_url: str | None = None
    """Asked with the access token for `account_fields` where the token answer lacks them."""
    env: str = ""
    """Variable that hands the token to a job."""
    hand_over: HandOver = HandOver.ENV


@dataclass(frozen=True, kw_only=True)
class Tokens(Value):
    """What a provider gave."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    token_type: str = "Bearer"  # noqa: S105  # the type's name
    obtained_at: datetime
    expires_at: datetime | None = None
    """None: the provider did not say, or it does not expire."""
    refresh_expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    account: str | None = None
    """Who signed in, as the provider calls them."""

    @property
    def lifetime_s(self) -> float | None:
        """Seconds between being given and expiring."""
        return (self.expires_at - self.obtained_at).total_seconds() if self.expires_at else None


class FailureKind(StrEnum):
    """What a failure says about the login; the values of `cron_connections.last_failure_kind`."""

    TRANSIENT = "transient"
    """Nothing: network, DNS, timeout, 408, 5xx and their like."""
    PERMANENT = "permanent"
    """The same request would be refused again."""
    RATE_LIMIT = "rate_limit"
    """Nothing: too many requests."""


OTHER_ACCOUNT = "other_account"
"""`Failure.code` of a sign-in with another account than before."""
INVALID_GRANT = "invalid_grant"
"""`Failure.code` of a refresh token (or code) that is dead, whatever the provider calls it: only signing in helps."""


@dataclass(frozen=True, kw_only=True)
class Failure(Value):
    """Why there is no token."""

    kind: FailureKind
    code: str
    """One word: RFC 6749's where it is one of those, else the provider's or ours (`timeout`, `http_502`)."""
    message: str
    """One sentence for people, at most 500 characters, no token in it."""
    retry_after_s: float | None = None
    """The provider's wish."""


@dataclass(frozen=True, kw_only=True)
class SignIn(Value):
    """A sign-in in a browser that has begun; the verifier stays on this box."""

    url: str
    state: str = field(repr=False)
    redirect_uri: str
    verifier: str | None = field(default=None, repr=False)
    """PKCE's (RFC 7636)."""


@dataclass(frozen=True, kw_only=True)
class DevicePrompt(Value):
    """A sign-in by device code that has begun (RFC 8628 §3.2)."""

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    interval_s: float = 5.0
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Standing(Value):
    """Where a connection stands: a row of `cron_connections`, without tokens."""

    connection_id: str
    provider: str
    account: str | None = None
    scopes: tuple[str, ...] = ()
    is_active: bool = False
    """A token is there and no sign-in is needed."""
    token_expires_at: datetime | None = None
    needs_reauth: bool = False
    last_refresh_at: datetime | None = None
    last_refresh_error: str | None = None
    """Redacted, at most 500 characters."""
    last_failure_kind: FailureKind | None = None
    consecutive_failures: int = 0
    consecutive_transient_failures: int = 0
    retry_at: datetime | None = None
    """Before this nothing is tried again by itself (Retry-After, backoff). The box's own: no column of the row."""


@dataclass(frozen=True, kw_only=True)
class Thresholds(Value):
    """When tokens are refreshed, and how many failures in a row mean what."""

    sweep_every_s: float = 300.0
    sweep_ahead_s: float = 1_200.0
    """A sweep refreshes what expires within so long; at most a third of the token's lifetime."""
    run_ahead_s: float = 900.0
    """A run's token is refreshed when it expires within so long; at most a third of its lifetime."""
    idle_s: float = 86_400.0
    """A token that nothing used or refreshed for so long is refreshed, so that a dead login is noticed."""
    warn_at: int = 2
    """Permanent failures in a row after which people are warned."""
    disconnect_at: int = 3
    """Permanent failures in a row after which somebody has to sign in again."""
    rate_limit_notice_at: int = 5
    """Transient failures in a row after which people hear of it, once."""


class Alert(StrEnum):
    """What people should hear of when a connection stands otherwise than before."""

    WARNING = "warning"
    RATE_LIMIT = "rate_limit"
    DISCONNECTED = "disconnected"
    RECONNECTED = "reconnected"


@dataclass(frozen=True, kw_only=True)
class Change(Value):
    """A connection stands otherwise than before; on disk by now."""

    before: Standing
    after: Standing
    at: datetime
    alert: Alert | None = None
    """None: nothing that anybody has to be told."""


class Refreshed(StrEnum):
    """What came of looking after a connection."""

    REFRESHED = "refreshed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Fresh enough, or nothing can be done now: signed out, held, or its next try is still to come."""


@dataclass(frozen=True, kw_only=True)
class GivenToken(Value):
    """What a run gets of its connection."""

    variable: str
    """Name of the environment variable."""
    hand_over: HandOver = HandOver.ENV
    token_type: str = "Bearer"  # noqa: S105  # the type's name
    token: str | None = field(default=None, repr=False)
    """None: the run must not start."""
    problem: str | None = None
    """One sentence for people: why there is no token, or why this one may be stale. None: it is fresh."""
    needs_reauth: bool = False
    """There is none because a person has to sign in."""


class ReconnectStatus(StrEnum):
    """The values of `cron_connection_requests.status` while it is open."""

    ASKED = "asked"
    WAITING = "waiting"
    """For the person."""
    GIVEN = "given"
    """The code has been handed over."""


@dataclass(frozen=True, kw_only=True)
class ReconnectRequest(Value):
    """A person asks, on a page, to sign a connection of ours in again."""

    id: UUID
    connection_id: str
    status: ReconnectStatus
    redirect_uri: str | None
    """Where the provider shall send the browser; None where there is nowhere."""
    other_account_ok: bool
    expires_at: datetime
    code_waits: bool
    """A code can be taken."""


@dataclass(frozen=True, kw_only=True)
class ConnectionsReply(Value):
    """`cron_report_connections`' answer."""

    refused: Mapping[str, str] = field(default_factory=dict)
    """connection id → the agent that it belongs to."""
    requests: tuple[ReconnectRequest, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReconnectAnswer(Value):
    """What the agent says to a reconnect: where to sign in, or how it ended."""

    sign_in: SignIn | None = None
    device: DevicePrompt | None = None
    error: str | None = None
    """One sentence for people. With none of the three: it worked."""
