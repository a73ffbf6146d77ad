"""A person signs in to a connection on this machine: in a browser here, in one elsewhere, or by a code."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from agent.adapters.browser import open_in_browser
from agent.adapters.oauth import Landing, Redirect
from agent.errors import Refused
from agent.model import Connection, DevicePrompt, Failure, FailureKind, Grant, SignIn, Tokens
from agent.ports import OAuth

PATIENCE_S = 600.0
"""For a person in a browser."""


class Way(StrEnum):
    """How somebody signs in."""

    BROWSER = "browser"
    """In a browser on this machine, which comes back to us by itself."""
    PASTE = "paste"
    """In any browser; the person hands over the address at which it ended."""
    DEVICE = "device"
    """By a code that is typed into any browser."""


class Guide(Protocol):
    """Tells the person what to do."""

    def by_browser(self, url: str, *, opened: bool) -> None:
        """Sign in there."""
        ...

    def by_paste(self, url: str) -> str:
        """Sign in there; returns the address at which the browser ended."""
        ...

    def by_device(self, prompt: DevicePrompt) -> None:
        """Type the code there."""
        ...


async def obtain(
    oauth: OAuth, connection: Connection, guide: Guide, environ: Mapping[str, str], *, way: Way | None = None
) -> Tokens | Failure:
    """First tokens of a connection. `way`: None for what its grant asks for. Raises `Refused` where it cannot be."""
    if connection.grant is Grant.CLIENT_CREDENTIALS:
        return await oauth.renew(connection, None)
    way = way or _usual(connection)
    _check(connection, way)
    if way is Way.DEVICE:
        prompt = await oauth.begin_device(connection)
        if isinstance(prompt, Failure):
            return prompt
        guide.by_device(prompt)
        return await oauth.finish_device(connection, prompt)
    if way is Way.PASTE:
        return await _by_paste(oauth, connection, guide)
    return await _by_browser(oauth, connection, guide, environ)


def _usual(connection: Connection) -> Way:
    if connection.grant is Grant.DEVICE_CODE:
        return Way.DEVICE
    return Way.PASTE if connection.redirect_uri else Way.BROWSER


def _check(connection: Connection, way: Way) -> None:
    name = connection.connection_id
    if way is Way.DEVICE and connection.device_url is None:
        raise Refused(f"{name} has no `device_url`", hint="Sign in with --browser or --paste.")
    if way is not Way.DEVICE and connection.authorization_url is None:
        raise Refused(f"{name} has no `authorization_url`", hint="Sign in with --device.")
    if way is Way.BROWSER and connection.redirect_uri:
        raise Refused(f"{name} has a `redirect_uri` that does not lead here", hint="Sign in with --paste.")


async def _by_browser(
    oauth: OAuth, connection: Connection, guide: Guide, environ: Mapping[str, str]
) -> Tokens | Failure:
    redirect = Redirect(connection.redirect_port)
    try:
        begun = oauth.sign_in(connection, redirect.uri)
        guide.by_browser(begun.url, opened=open_in_browser(begun.url, environ))
        landing = await redirect.landing(begun.state, PATIENCE_S)
    finally:
        await asyncio.to_thread(redirect.close)
    if landing is None:
        return _given_up("timeout", "nobody came back from the browser in time")
    return await _landed(oauth, connection, begun, landing)


async def _by_paste(oauth: OAuth, connection: Connection, guide: Guide) -> Tokens | Failure:
    redirect_uri = connection.redirect_uri
    if redirect_uri is None:  # nobody listens there: the browser shows an error, and the address that is wanted
        redirect = Redirect(connection.redirect_port)
        redirect_uri = redirect.uri
        redirect.close()
    begun = oauth.sign_in(connection, redirect_uri)
    url = await asyncio.to_thread(guide.by_paste, begun.url)
    landing = Landing.of(url.strip(), begun.state)
    if landing is None:
        return _given_up("not_this_sign_in", "that address is not the end of this sign-in; begin again")
    return await _landed(oauth, connection, begun, landing)


async def _landed(oauth: OAuth, connection: Connection, begun: SignIn, landing: Landing) -> Tokens | Failure:
    if landing.code is None:
        return _given_up("access_denied", f"the provider gave no access ({landing.error})")
    account = landing.parameters.get(connection.account_parameter) if connection.account_parameter else None
    return await oauth.exchange(connection, begun, landing.code, account=account)


def _given_up(code: str, message: str) -> Failure:
    return Failure(kind=FailureKind.PERMANENT, code=code, message=message)
