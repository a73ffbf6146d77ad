"""`cronmirror local member`."""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from agent.adapters.files import atomic_write
from agent.app.migrations import apply_migrations
from agent.cli.extras import embedded_stack
from agent.cli.local.folder import DirOption, command, home_in
from agent.cli.output import stdout
from agent.localstack.home import Home

if TYPE_CHECKING:
    from agent.localstack.members import Members

EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")


class MemberRole(StrEnum):
    """What a member may do."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"
    AGENT = "agent"


def member(
    email: Annotated[str, typer.Argument(help="Who. No mail is sent: anything of the form name@place will do.")],
    role: Annotated[
        MemberRole,
        typer.Option("--role", help="viewer: look; operator: press Run; admin: everything; agent: the box itself."),
    ] = MemberRole.ADMIN,
    project: Annotated[
        str | None, typer.Option("--project", help="Default: the stack's own.", show_default=False)
    ] = None,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Give a user that exists another password; its sessions end.")
    ] = False,
    env_file: Annotated[
        Path | None,
        typer.Option(
            "--env-file",
            help="Write the address, the key and the password there (mode 0600), for `env_file:` of a config.yaml.",
            show_default=False,
        ),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="End the membership; the user stays.")] = False,
    folder: DirOption = None,
) -> None:
    """Add somebody to a project, or change the role. The project and the user are made if they are new.

    A new user's password is asked for, or read from standard input when that is no terminal; an agent's is made up.
    """
    home = home_in(folder)
    if not EMAIL.fullmatch(email):
        raise typer.BadParameter(f"{email!r} is no address like name@place")
    where = project or home.settings.project
    if remove:
        asyncio.run(_remove(home, where, email))
        return
    asyncio.run(_add(home, Wish(email, role, where, anew=new_password or env_file is not None, env_file=env_file)))


class Wish:
    """Who shall be what."""

    def __init__(self, email: str, role: MemberRole, project: str, *, anew: bool, env_file: Path | None) -> None:
        self.email = email
        self.role = role
        self.project = project
        self.anew = anew
        self.env_file = env_file


async def _add(home: Home, wish: Wish) -> None:
    with embedded_stack():
        from agent.localstack.members import Members  # noqa: PLC0415
    async with home.database("a member is added") as dsn:
        await apply_migrations(dsn, say=lambda _: None)
        members = Members(dsn)
        password = await _user(members, wish)
        user_id = await members.user(wish.email)
        assert user_id is not None  # noqa: S101 # made just now
        await members.add(wish.project, {user_id: wish.role.value})
    stdout.print(f"{escape(wish.email)} is {wish.role} in {escape(wish.project)}")
    if password and wish.env_file:
        _write(home, wish.env_file, password)
        _explain(home, wish)
    elif password and wish.role is MemberRole.AGENT:
        stdout.print(f"its password, shown this once: {password}", markup=False)


async def _user(members: Members, wish: Wish) -> str | None:
    """See that the user is there; the password that was set, None if none was."""
    known = await members.user(wish.email)
    if known is not None and not wish.anew:
        return None
    password = secrets.token_urlsafe(24) if wish.role is MemberRole.AGENT else _asked(wish.email)
    if known is None:
        await members.create_user(wish.email, password)
    else:
        await members.set_password(known, password)
    return password


def _asked(email: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt(f"A password for {email}", hide_input=True, confirmation_prompt=True))


def _write(home: Home, path: Path, password: str) -> None:
    from agent.localstack.keys import Keys  # noqa: PLC0415 # the stack's packages are there: it was just used

    key = Keys.load(home.keys_file).publishable_key
    facts = {"SUPABASE_URL": home.url, "SUPABASE_PUBLISHABLE_KEY": key, "CRONMIRROR_PASSWORD": password}
    text = "".join(f"{name}={value}\n" for name, value in facts.items())
    atomic_write(path.expanduser().absolute(), text.encode())


def _explain(home: Home, wish: Wish) -> None:
    lines = [
        f"{wish.env_file} has the address, the key and the password. In config.yaml, beside it:",
        f"  project: {wish.project}",
        f"  env_file: {wish.env_file}",
        "  supabase:",
        "    url: ${SUPABASE_URL}",
        "    key: ${SUPABASE_PUBLISHABLE_KEY}",
        f"    email: {wish.email}",
        "    password: ${CRONMIRROR_PASSWORD}",
        f"then your jobs, and `cronmirror run`. Who is there: {command(home, 'members')}",
    ]
    for line in lines:
        stdout.print(line, markup=False)


async def _remove(home: Home, project: str, email: str) -> None:
    with embedded_stack():
        from agent.localstack.members import Members  # noqa: PLC0415
    async with home.database("a member is removed") as dsn:
        gone = await Members(dsn).remove(project, email)
    stdout.print(
        f"{escape(email)} is no longer in {escape(project)}"
        if gone
        else f"{escape(email)} was not in {escape(project)}"
    )
