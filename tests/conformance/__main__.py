"""The conformance list against any Supabase, through supabase-py and supabase-js.

Without an address: against the embedded stack. With one: apply what `--print-sql` prints to that project first (it
makes tables and functions called conf_…), give its publishable key and its secret key. Two users are made and removed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from agent.localstack.stack import LocalStack, Options
from tests.conformance.asked import Answer, ask
from tests.conformance.listed import CLIENTS, read
from tests.conformance.target import Target

HERE = Path(__file__).parent
NEEDED = """\
KEY (publishable) and SECRET (secret key) are needed: the list makes two users, signs them in and resets its tables.
First apply to the project what `python -m tests.conformance --print-sql` prints.\
"""


def main() -> int:
    """The exit code: 0 where every scenario came out as the list says."""
    wishes = _arguments()
    if wishes.print_sql:
        say((HERE / ("drop.sql" if wishes.print_sql == "drop" else "schema.sql")).read_text("utf-8"))
        return 0
    if wishes.url and not (wishes.key and wishes.secret):
        say(NEEDED)
        return 2
    return 1 if any(each.faults for each in asyncio.run(_asked(wishes))) else 0


async def _asked(wishes: argparse.Namespace) -> list[Answer]:
    scenarios = [each for each in read() if wishes.only in each.name]
    async with _target(wishes) as target:
        answers = await ask(target, scenarios, wishes.client or CLIENTS)
    for each in answers:
        if each.faults is None:
            say(f"–  {each.client:7} {each.scenario.name} (the project lacks: {', '.join(each.lacking)})")
        elif each.faults or wishes.verbose:
            say(f"{'✗' if each.faults else '✓'}  {each.client:7} {each.scenario.name}")
            for fault in each.faults:
                say(f"      {fault}")
    asked = [each for each in answers if each.faults is not None]
    right = sum(not each.faults for each in asked)
    say(f"{len(scenarios)} scenarios; {right} of {len(asked)} answers are as documented.")
    return answers


@asynccontextmanager
async def _target(wishes: argparse.Namespace) -> AsyncIterator[Target]:
    if wishes.url:
        keys = {"publishable": wishes.key, "secret": wishes.secret}
        keys |= {"anon": wishes.anon, "service": wishes.service} if wishes.anon and wishes.service else {}
        yield Target(url=wishes.url.rstrip("/"), keys=keys)
        return
    with tempfile.TemporaryDirectory(prefix="cronmirror-conformance-") as folder:
        async with LocalStack(Path(folder), options=Options(fsync=False, bcrypt_rounds=4)) as stack:
            yield await prepared(stack)


async def prepared(stack: LocalStack) -> Target:
    """The embedded stack with the list's tables in it."""
    async with await psycopg.AsyncConnection.connect(stack.dsn, autocommit=True) as connection:
        await connection.execute((HERE / "schema.sql").read_bytes())
    keys = stack.keys
    known = {"publishable": keys.publishable_key, "secret": keys.secret_key}
    known |= {"anon": keys.anon_key, "service": keys.service_key}
    return Target(url=stack.url, keys=known | {"expired": keys.mint({"role": "authenticated"}, -3600)})


def say(text: str) -> None:
    """A line for whoever asked."""
    sys.stdout.write(text + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--url", help="of a Supabase project; default: an embedded stack of its own")
    parser.add_argument("--key", help="its publishable key (or legacy anon key)")
    parser.add_argument("--secret", help="its secret key (or legacy service_role key)")
    parser.add_argument("--anon", help="its legacy anon key, if it has one")
    parser.add_argument("--service", help="its legacy service_role key, if it has one")
    parser.add_argument("--client", action="append", choices=CLIENTS, help="only this one")
    parser.add_argument("--only", default="", metavar="TEXT", help="only scenarios with this in their names")
    parser.add_argument("--print-sql", nargs="?", const="make", choices=("make", "drop"), help="what has to be applied")
    parser.add_argument("-v", "--verbose", action="store_true", help="name what is right as well")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
