"""`cronmirror local env`."""

from __future__ import annotations

import json
import shlex
import sys
from enum import StrEnum
from typing import Annotated

import typer

from agent.cli.extras import embedded_stack
from agent.cli.local.folder import DirOption, home_in
from agent.localstack.home import no_stack

WARNING = "The secret key may do everything in every project, past all policies. Never give it to a page or a browser."


class Form(StrEnum):
    """How it is written."""

    SHELL = "shell"
    DOTENV = "dotenv"
    JSON = "json"


def env(
    folder: DirOption = None,
    form: Annotated[
        Form, typer.Option("--format", "-f", help="`shell`: lines for `eval`; `dotenv`: a .env file; `json`.")
    ] = Form.SHELL,
    prefix: Annotated[
        str, typer.Option("--prefix", help="Put before each public name: VITE_, NEXT_PUBLIC_ …", show_default=False)
    ] = "",
    secret: Annotated[
        bool,
        typer.Option(
            "--secret",
            help="Also the secret (service_role) key, which passes every policy, and the superuser's database address "
            "while the stack runs. For servers and scripts of your own; never for a page.",
        ),
    ] = False,
) -> None:
    """Print what a page or supabase-js needs: the URL and the publishable key. Works while the stack is stopped, too.

    `eval "$(cronmirror local env)"`, or `cronmirror local env -f dotenv --prefix VITE_ > .env.local`.
    """
    home = home_in(folder)
    if not home.exists:
        raise no_stack(home.folder)
    with embedded_stack():
        from agent.localstack.keys import Keys  # noqa: PLC0415
    keys = Keys.load(home.keys_file)
    public = {"SUPABASE_URL": home.url, "SUPABASE_PUBLISHABLE_KEY": keys.publishable_key}
    values = {prefix + name: value for name, value in public.items()}
    hidden = {"SUPABASE_SECRET_KEY": keys.secret_key} if secret else {}
    if secret and (dsn := home.dsn()):
        hidden["SUPABASE_DB_URL"] = dsn
    sys.stdout.write(written(values, hidden, form))


def written(values: dict[str, str], hidden: dict[str, str], form: Form) -> str:
    """The text; a warning stands above what is secret, where the format has comments."""
    if form is Form.JSON:
        return json.dumps(values | hidden, indent=2) + "\n"
    line = _exported if form is Form.SHELL else _dotenv
    lines = [line(name, value) for name, value in values.items()]
    if hidden:
        lines += [f"# {WARNING}", *(line(name, value) for name, value in hidden.items())]
    return "\n".join(lines) + "\n"


def _exported(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _dotenv(name: str, value: str) -> str:
    return f"{name}={value}"
