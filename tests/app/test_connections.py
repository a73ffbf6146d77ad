"""The keeper as processes have it: on real files, over HTTP to a real provider, eight runs at once and one by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import keyring
import pytest

from agent.adapters.files import StateDir
from agent.app.connections import keeping
from agent.app.oneshot import execute_here
from agent.config.config import Config
from agent.model import Command, GivenToken, Job, Reason, RunStatus, Thresholds, Tokens
from agent.run.redact import Redactor
from tests.support.memory_keyring import MemoryKeyring
from tests.support.oauth_provider import OAuthProvider, broken

JOB = Job(id="sync", name="Sync", command=Command(argv=("sh", "-c", "echo got $DEMO_ACCESS_TOKEN")), connection="demo")


class Screen:
    """What the person sees."""

    def __init__(self) -> None:
        self.text = ""

    def feed(self, _stream: str, data: bytes) -> None:
        self.text += data.decode()


@pytest.fixture
def provider() -> Iterator[OAuthProvider]:
    with OAuthProvider() as provider:
        yield provider


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


@pytest.fixture
def config(provider: OAuthProvider) -> Config:
    return Config(project="home", connections=(provider.connection(),), jobs=(JOB,))


async def sign_in(config: Config, state: StateDir, provider: OAuthProvider, *, left_s: float = 3600.0) -> None:
    given, now = provider.sign_in_now(), datetime.now(UTC)
    expires_at = now + timedelta(seconds=left_s)
    tokens = Tokens(
        access_token=given.access_token,
        refresh_token=given.refresh_token,
        obtained_at=expires_at - timedelta(hours=1),
        expires_at=expires_at,
    )
    async with keeping(lambda: config, state, Redactor()) as kept:
        assert await kept.keeper.accept("demo", tokens) is None


def tokens_of(state: StateDir) -> dict[str, str]:
    found: dict[str, str] = json.loads((state.connections / "demo.tokens.json").read_text())
    return found


async def test_a_run_by_hand_gets_a_fresh_token_that_its_screen_does_not_show(config, state, provider) -> None:
    await sign_in(config, state, provider, left_s=60.0)
    screen = Screen()

    outcome = await execute_here(config, state, "sync", None, screen, {"PATH": "/usr/bin:/bin"})

    assert outcome.status is RunStatus.OK
    assert screen.text == outcome.stdout.text == "got ***\n"
    assert provider.refreshed == 1
    assert provider.accepts(tokens_of(state)["access_token"])


async def test_a_run_by_hand_without_a_sign_in_says_what_to_do(config, state) -> None:
    outcome = await execute_here(config, state, "sync", None, Screen(), {})

    assert outcome.reason is Reason.NEEDS_REAUTH
    assert "cronmirror connections login demo" in (outcome.error or "")


async def test_eight_runs_of_four_processes_are_one_refresh(config, state, provider) -> None:
    """Each has its own keeper on the same files, as processes have."""
    await sign_in(config, state, provider, left_s=-1.0)

    async def token() -> GivenToken | None:
        async with keeping(lambda: config, state, Redactor()) as kept:
            both = await asyncio.gather(kept.keeper.token_for(JOB), kept.keeper.token_for(JOB))
            assert both[0] == both[1]
            return both[0]

    given = await asyncio.gather(*(token() for _ in range(4)))

    assert {each.token for each in given if each} == {tokens_of(state)["access_token"]}
    assert provider.refreshed == 1


async def test_a_login_that_was_used_twice_elsewhere_is_over(config, state, provider) -> None:
    await sign_in(config, state, provider, left_s=-1.0)
    provider.end_login(provider.given[0].family)

    async with keeping(lambda: config, state, Redactor()) as kept:
        given = await kept.keeper.token_for(JOB)
        assert given
        assert given.token == provider.given[0].access_token, "the API says why"
        (standing,) = kept.keeper.standings()
        assert standing.needs_reauth
        assert standing.last_refresh_error
        assert kept.keeper.held(JOB)


async def test_listeners_hear_of_a_failure_and_a_restart_remembers_it(config, state, provider) -> None:
    await sign_in(config, state, provider, left_s=60.0)
    provider.faults.append(broken(503))
    heard = []
    async with keeping(lambda: config, state, Redactor()) as kept:
        kept.listeners.append(heard.append)
        await kept.keeper.token_for(JOB)

    assert [change.after.consecutive_transient_failures for change in heard] == [1]
    async with keeping(lambda: config, state, Redactor()) as kept:
        assert kept.keeper.standings()[0].consecutive_transient_failures == 1


async def test_thresholds_are_those_of_the_configuration_in_force(config, state, provider) -> None:
    await sign_in(config, state, provider, left_s=60.0)
    now = {"config": replace(config, thresholds=Thresholds(run_ahead_s=0.0))}
    brief = replace(JOB, timeout_s=1.0)

    async with keeping(lambda: now["config"], state, Redactor()) as kept:
        await kept.keeper.token_for(brief)
        assert provider.refreshed == 0
        now["config"] = config
        await kept.keeper.token_for(brief)
        assert provider.refreshed == 1


async def test_tokens_lie_in_the_keyring_where_that_is_wanted(config, state, provider, monkeypatch) -> None:
    backend = MemoryKeyring()
    for name in ("get_password", "set_password", "delete_password"):
        monkeypatch.setattr(keyring, name, getattr(backend, name))

    await sign_in(replace(config, tokens_in_keyring=True), state, provider)

    (text,) = backend.kept.values()
    assert provider.given[0].access_token in text
    assert not list(state.connections.glob("*.tokens.json"))


async def test_without_a_configuration_there_is_nothing_to_keep(state) -> None:
    async with keeping(lambda: None, state, Redactor()) as kept:
        assert kept.keeper.standings() == []
        assert await kept.keeper.token_for(replace(JOB, connection=None)) is None
