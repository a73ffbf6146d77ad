"""A job and its connection, the whole way: held, signed in from elsewhere, caught up, its token seen by nobody else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent.adapters.files import StateDir
from agent.app.connections import keeping
from agent.app.reading import read_config
from agent.cli.demo.operator import Operator
from agent.model import Tokens
from agent.run.redact import Redactor
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.agent_process import AgentProcess
from tests.support.oauth_provider import OAuthProvider, broken
from tests.support.stack import Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

JOBS = """
connections:
  {demo}
jobs:
  sync: {{every: 2s, connection: demo, shell: 'echo "token $DEMO_ACCESS_TOKEN"; sleep 1.0625'}}
"""


async def test_a_job_is_held_until_somebody_signs_in_and_then_caught_up(
    start_agent: StartAgent, operator: Operator, project: Project
) -> None:
    with OAuthProvider(lifetime_s=9) as provider:
        agent = start_agent(JOBS.format(demo=provider.yaml()))
        await mirrored(operator)
        await wait_until(lambda: rows(operator, status="missed", reason="needs_reauth"))
        request = await operator.press_run("sync")
        refused = await ended(operator, request["id"])
        assert (refused["status"], refused["result"]["reason"]) == ("error", "needs_reauth")
        assert "cronmirror connections login demo" in refused["result"]["error"]
        assert not agent.events("run started")

        await sign_in(agent, provider)

        (caught_up,) = await wait_until(lambda: rows(operator, status="ok", trigger="catch_up"))
        assert caught_up["reason"] == "needs_reauth"
        await wait_until(lambda: rows(operator, status="ok", trigger="schedule"))
        provider.faults.extend([broken(), broken()])
        await wait_until(lambda: agent.events("token refreshed"))
        commands = await wait_until(command_lines_while_it_runs)
        for run in await rows(operator, status="ok"):
            assert run["output"] == "token ***\n"
        for secret in {each for token in provider.given for each in (token.access_token, token.refresh_token) if each}:
            assert not found(agent.folder, secret), "only the file of the tokens has them"
            assert secret not in commands
            assert secret not in everything(project)


async def rows(operator: Operator, **values: str) -> list[dict[str, Any]]:
    return await operator.select("cron_runs", limit="1", **{name: f"eq.{value}" for name, value in values.items()})


async def sign_in(agent: AgentProcess, provider: OAuthProvider) -> None:
    """As another process of the box does it."""
    given = provider.sign_in_now()
    now = datetime.now(UTC)
    tokens = Tokens(
        access_token=given.access_token,
        refresh_token=given.refresh_token,
        obtained_at=now,
        expires_at=datetime.fromtimestamp(given.expires_at, UTC),
    )
    config = read_config(agent.config, agent.environment(), private=True).config
    async with keeping(lambda: config, StateDir(agent.state), Redactor()) as kept:
        assert await kept.keeper.accept("demo", tokens) is None


def command_lines_while_it_runs() -> str | None:
    """Of every process of the machine, as `ps` shows them."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return str(lines) if ["sleep", "1.0625"] in lines else None


def everything(project: Project) -> str:
    """All rows of all tables."""
    tables = project.sql("select tablename from pg_tables where schemaname = 'public'")
    names = [f"public.{each['tablename']}" for each in tables]
    return str([project.sql(f"select t::text from {name} t") for name in names])  # noqa: S608 - our own names


def found(folder: Path, secret: str) -> list[Path]:
    """Files that have it, but for the one that must."""
    places = [place for place in folder.rglob("*") if place.is_file() and place.name != "demo.tokens.json"]
    return [place for place in places if secret.encode() in place.read_bytes()]
