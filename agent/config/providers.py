"""Presets of well-known OAuth providers: addresses and habits, so that a connection needs little more than its client.

Nearly every value can be overridden in the YAML. `source` names the provider's own pages that document it; nothing here
was tried against the provider itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.model import BodyStyle, ClientAuth, Grant, Revocation

GENERIC = "generic"


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One preset. Addresses may contain `{shop}` and `{tenant}`, which are keys of the connection."""

    title: str
    source: str
    """The provider's pages, by their names."""
    token_url: str = ""
    authorization_url: str | None = None
    device_url: str | None = None
    revocation_url: str | None = None
    refresh_url: str | None = None
    grant: Grant = Grant.AUTHORIZATION_CODE
    client_auth: ClientAuth = ClientAuth.BASIC
    body: BodyStyle = BodyStyle.FORM
    pkce: bool = True
    revocation: Revocation = Revocation.TOKEN
    scope_separator: str = " "
    always: tuple[str, ...] = ()
    """Scopes without which there is no refresh token; added where a person signs in."""
    extra: Mapping[str, str] = field(default_factory=dict)
    token_extra: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    account_fields: tuple[str, ...] = ()
    account_parameter: str | None = None
    account_url: str | None = None
    needs: tuple[str, ...] = ()
    """Keys of the connection that must be written."""
    tenant: str | None = None
    """Default of the key `tenant`."""


_MICROSOFT = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0"
_DEERE = "https://signin.johndeere.com/oauth2/aus78tnlaysMraFhC1t7/v1"
_SHOP = "https://{shop}.myshopify.com/admin/oauth"
_HUBSPOT = "https://api.hubapi.com/oauth/2026-03/token"

PROVIDERS: Mapping[str, Provider] = {
    GENERIC: Provider(title="any other", source="RFC 6749, RFC 7636, RFC 8628, RFC 7009"),
    # The device flow knows only a few scopes and wants a client of the type "TV": it has to be asked for (`grant`).
    "google": Provider(
        title="Google",
        source="Google Identity, “Using OAuth 2.0 for Web Server Applications” and “… for TV and Limited-Input Device "
        "Applications”",
        authorization_url="https://accounts.google.com/o/oauth2/v2/auth",
        token_url="https://oauth2.googleapis.com/token",
        device_url="https://oauth2.googleapis.com/device/code",
        revocation_url="https://oauth2.googleapis.com/revoke",
        client_auth=ClientAuth.POST,
        extra={"access_type": "offline", "prompt": "consent"},
        account_fields=("email",),
    ),
    "microsoft": Provider(
        title="Microsoft",
        source="Microsoft identity platform, “OAuth 2.0 authorization code flow” and “OAuth 2.0 device authorization "
        "grant”",
        authorization_url=f"{_MICROSOFT}/authorize",
        token_url=f"{_MICROSOFT}/token",
        device_url=f"{_MICROSOFT}/devicecode",
        grant=Grant.DEVICE_CODE,
        client_auth=ClientAuth.POST,
        always=("offline_access",),
        account_fields=("preferred_username", "email"),
        tenant="common",
    ),
    "github": Provider(
        title="GitHub",
        source="GitHub Docs, “Generating a user access token for a GitHub App” and “Refreshing user access tokens”",
        authorization_url="https://github.com/login/oauth/authorize",
        token_url="https://github.com/login/oauth/access_token",
        device_url="https://github.com/login/device/code",
        grant=Grant.DEVICE_CODE,
        client_auth=ClientAuth.POST,
        account_fields=("login",),
        account_url="https://api.github.com/user",
    ),
    "slack": Provider(
        title="Slack",
        source="Slack developer docs, “Installing with OAuth”, “Using token rotation”, “auth.revoke”",
        authorization_url="https://slack.com/oauth/v2/authorize",
        token_url="https://slack.com/api/oauth.v2.access",
        revocation_url="https://slack.com/api/auth.revoke",
        revocation=Revocation.BEARER,
        scope_separator=",",
        pkce=False,
        account_fields=("team.name", "team.id"),
    ),
    "notion": Provider(
        title="Notion",
        source="Notion API, “Authorization”, “Create a token”, “Refresh a token”, “Revoke a token”",
        authorization_url="https://api.notion.com/v1/oauth/authorize",
        token_url="https://api.notion.com/v1/oauth/token",
        revocation_url="https://api.notion.com/v1/oauth/revoke",
        body=BodyStyle.JSON,
        pkce=False,
        extra={"owner": "user"},
        headers={"Notion-Version": "2025-09-03"},
        account_fields=("workspace_name", "workspace_id"),
    ),
    "dropbox": Provider(
        title="Dropbox",
        source="Dropbox developers, “OAuth Guide” and “Using OAuth 2.0 with offline access”",
        authorization_url="https://www.dropbox.com/oauth2/authorize",
        token_url="https://api.dropboxapi.com/oauth2/token",
        revocation_url="https://api.dropboxapi.com/2/auth/token/revoke",
        revocation=Revocation.BEARER,
        client_auth=ClientAuth.POST,
        extra={"token_access_type": "offline"},
        account_fields=("account_id",),
    ),
    "quickbooks": Provider(
        title="QuickBooks",
        source="Intuit Developer, “Set up OAuth 2.0” and the OpenID discovery document",
        authorization_url="https://appcenter.intuit.com/connect/oauth2",
        token_url="https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
        revocation_url="https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
        pkce=False,
        account_parameter="realmId",
    ),
    "john-deere": Provider(
        title="John Deere",
        source="John Deere's own OAuth 2 examples (Operations Center API)",
        authorization_url=f"{_DEERE}/authorize",
        token_url=f"{_DEERE}/token",
        revocation_url=f"{_DEERE}/revoke",
        always=("offline_access",),
    ),
    # North America; elsewhere and in the sandbox the hosts are others: write the three addresses.
    "clover": Provider(
        title="Clover",
        source="Clover docs, “Authenticate with the v2/OAuth flow”, “High-trust apps”, “Use refresh token to generate "
        "new expiring token”",
        authorization_url="https://www.clover.com/oauth/v2/authorize",
        token_url="https://api.clover.com/oauth/v2/token",
        refresh_url="https://api.clover.com/oauth/v2/refresh",
        body=BodyStyle.JSON,
        client_auth=ClientAuth.POST,
        pkce=False,
        account_parameter="merchant_id",
    ),
    # Its revocation wants a header of its own (`Authorization: Client …`): revoke in Square's dashboard.
    "square": Provider(
        title="Square",
        source="Square developer docs, “OAuth API” and “Obtain token”",
        authorization_url="https://connect.squareup.com/oauth2/authorize",
        token_url="https://connect.squareup.com/oauth2/token",
        body=BodyStyle.JSON,
        client_auth=ClientAuth.POST,
        pkce=False,
        extra={"session": "false"},
        account_fields=("merchant_id",),
    ),
    "shopify": Provider(
        title="Shopify",
        source="Shopify developer docs, “Use expiring offline access tokens” and “Implement authorization code grant”",
        authorization_url=f"{_SHOP}/authorize",
        token_url=f"{_SHOP}/access_token",
        client_auth=ClientAuth.POST,
        scope_separator=",",
        pkce=False,
        token_extra={"expiring": "1"},
        account_parameter="shop",
        needs=("shop",),
    ),
    "hubspot": Provider(
        title="HubSpot",
        source="HubSpot developers, “Manage OAuth access tokens with the 2026-03 API”",
        authorization_url="https://app.hubspot.com/oauth/authorize",
        token_url=_HUBSPOT,
        revocation_url=f"{_HUBSPOT}/revoke",
        client_auth=ClientAuth.POST,
        pkce=False,
        account_fields=("hub_id", "hubId"),
    ),
}
"""By the name in the YAML."""
