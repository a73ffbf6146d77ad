"""The page as users of hosted Supabase have it: static files on one origin, Supabase on another."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests.support.stack import Person, Project
from tests.support.static_host import StaticHost

AWAY = "ERR_(CONNECTION|SOCKET|EMPTY|CONTENT_LENGTH|INCOMPLETE)|WebSocket connection"
"""What a browser says of a server that is not there."""


@contextlib.contextmanager
def hosted(folder: Path, project: Project, url: str | None = None, **more: Any) -> Iterator[StaticHost]:
    """With a config.json for this project. `url`: of what stands in for Supabase; `more`: further keys of the file."""
    told = {"url": url or project.url, "key": project.keys.publishable_key, "project": project.project_id}
    with StaticHost(folder, {**told, **more}) as host:
        yield host


async def sign_in(page: Page, person: Person, password: str | None = None) -> None:
    await page.get_by_label("E-mail").fill(person.email)
    await page.get_by_label(re.compile("^Password")).fill(password or person.password)
    await page.get_by_role("button", name="Sign in").click()


async def stored(page: Page, prefix: str) -> dict[str, Any]:
    """What the page keeps in this browser under names that begin so."""
    found = await page.evaluate(
        """prefix => JSON.stringify(
          Object.fromEntries(Object.entries(localStorage).filter(([key]) => key.startsWith(prefix))),
        )""",
        prefix,
    )
    return dict(json.loads(found))


async def let_the_token_expire(page: Page) -> None:
    """As if the session had been taken an hour ago: it has to be renewed before anything else is asked."""
    await page.evaluate(
        """() => {
          const key = Object.keys(localStorage).find((each) => each.startsWith('cronmirror.session.'))
          const session = JSON.parse(localStorage[key])
          localStorage[key] = JSON.stringify({ ...session, expires_at: Math.floor(Date.now() / 1000) - 10 })
        }"""
    )
