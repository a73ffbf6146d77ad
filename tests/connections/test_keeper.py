"""The keeper: one refresh at a time, durable before it is used, and a run that gets the best there is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from agent.connections.keeper import OTHER_ACCOUNT, RUN_PATIENCE_S
from agent.connections.policy import BACKOFF_BASE_S, PERMANENT_AGAIN_S
from agent.errors import StateError
from agent.model import Failure, FailureKind, GivenToken, Grant, HandOver, Refreshed, Tokens
from tests.support.clock import settle
from tests.support.fake_connections import BUSY, DEAD, HOUR_S, WRONG_CLIENT, Keeping, a_connection, a_failure, a_job

DRIVE = a_connection()
JOB = a_job(DRIVE, timeout_s=60.0)


@pytest.fixture
async def keeping() -> Keeping:
    """A box that has signed in."""
    keeping = Keeping()
    await keeping.sign_in()
    keeping.changes.clear()
    return keeping


async def token_of(keeping: Keeping, job=JOB) -> GivenToken:
    """What a run of the job gets, however long it takes."""
    waits = asyncio.ensure_future(keeping.keeper.token_for(job))
    for _ in range(30):
        await settle()
        if waits.done():
            break
        await keeping.clock.advance(1)
    given = await waits
    assert given is not None
    return given


# ── a run's token ───────────────────────────────────────────────────────────


async def test_a_job_without_a_connection_gets_none(keeping: Keeping) -> None:
    assert await keeping.keeper.token_for(replace(JOB, connection=None)) is None


async def test_a_fresh_token_is_given_without_a_word_to_the_provider(keeping: Keeping) -> None:
    given = await token_of(keeping)

    assert (given.token, given.variable, given.problem) == ("access-drive-0", "DRIVE_ACCESS_TOKEN", None)
    assert keeping.provider.asked == []


async def test_a_token_that_expires_within_fifteen_minutes_is_refreshed_before_the_run(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S - 899)

    assert (await token_of(keeping)).token == "access-drive-1"
    assert keeping.standing().token_expires_at == keeping.store.kept["drive"].expires_at


async def test_one_that_a_long_run_would_outlive_is_refreshed_before_it(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S / 2)

    assert (await token_of(keeping, replace(JOB, timeout_s=HOUR_S))).token == "access-drive-1"
    assert (await token_of(keeping, replace(JOB, timeout_s=HOUR_S))).token == "access-drive-1", "just refreshed"


async def test_where_the_refresh_fails_the_run_gets_the_token_there_is(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S - 60)
    keeping.provider.answers["drive"] = [a_failure()]

    given = await token_of(keeping)

    assert given.token == "access-drive-0"
    assert given.problem
    assert "http_503" in given.problem


async def test_a_burst_of_runs_whose_token_works_asks_a_provider_in_trouble_once(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S - 60)
    keeping.provider.answers["drive"] = [a_failure()]

    for _ in range(3):
        assert (await token_of(keeping)).token == "access-drive-0"
    assert keeping.provider.asked == ["drive"]

    await keeping.clock.advance(BACKOFF_BASE_S)
    assert (await token_of(keeping)).token == "access-drive-1"


async def test_with_an_expired_token_one_failed_call_is_not_the_last_word(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S + 1)
    keeping.provider.answers["drive"] = [a_failure(), a_failure()]

    assert (await token_of(keeping)).token == "access-drive-1"


async def test_a_retry_after_is_kept_also_by_runs(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S + 1)
    keeping.provider.answers["drive"] = [replace(BUSY, retry_after_s=120.0)]

    await token_of(keeping)
    await token_of(keeping)
    assert keeping.provider.asked == ["drive"]

    await keeping.clock.advance(120)
    assert (await token_of(keeping)).problem is None


async def test_a_provider_that_does_not_answer_holds_up_no_run_whose_token_works(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S - 60)
    keeping.provider.gate = asyncio.Event()
    before = keeping.clock.monotonic()

    given = await token_of(keeping)

    assert given.token == "access-drive-0"
    assert keeping.clock.monotonic() - before <= RUN_PATIENCE_S + 1
    keeping.provider.gate.set()
    await keeping.keeper.close()
    assert (await token_of(keeping)).token == "access-drive-1", "the refresh went on"


async def test_but_one_whose_token_would_expire_meanwhile_waits(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S - RUN_PATIENCE_S + 1)
    keeping.provider.takes_s = 20.0

    assert (await token_of(keeping)).token == "access-drive-1"


async def test_without_any_token_a_run_is_told_why(keeping: Keeping) -> None:
    nobody = Keeping()

    given = await token_of(nobody)

    assert given.token is None
    assert given.problem
    assert "needs re-authentication" in given.problem
    assert "cronmirror connections login drive" in given.problem
    assert given.needs_reauth


async def test_an_unknown_connection_and_a_broken_disk_are_sentences(keeping: Keeping, monkeypatch) -> None:
    gone = await keeping.keeper.token_for(replace(JOB, connection="gone"))
    assert gone is not None
    assert gone.problem == 'There is no connection "gone" in the YAML.'

    async def broken(_: str) -> Tokens | None:
        raise StateError("damaged")

    monkeypatch.setattr(keeping.store, "tokens", broken)
    given = await token_of(keeping)
    assert given.token is None
    assert "damaged" in (given.problem or "")
    await keeping.keeper.load()


async def test_a_client_of_its_own_needs_nobody() -> None:
    keeping = Keeping(a_connection(grant=Grant.CLIENT_CREDENTIALS, hand_over=HandOver.FILE))
    await keeping.keeper.load()
    assert not keeping.keeper.held(JOB)

    given = await token_of(keeping)

    assert given.token == "access-drive-0"
    assert given.hand_over is HandOver.FILE
    assert keeping.standing().is_active


async def test_a_client_of_its_own_that_gets_none_says_what_the_provider_said() -> None:
    keeping = Keeping(a_connection(grant=Grant.CLIENT_CREDENTIALS))
    keeping.provider.answers["drive"] = [WRONG_CLIENT]

    given = await token_of(keeping)

    assert given.token is None
    assert given.problem == "There is no token of drive: The provider said invalid_client."


async def test_a_token_without_end_is_never_due() -> None:
    keeping = Keeping()
    keeping.provider.lifetime_s["drive"] = None
    await keeping.sign_in()
    await keeping.clock.advance(100 * 86_400)

    assert (await token_of(keeping)).token == "access-drive-0"


# ── one at a time ───────────────────────────────────────────────────────────


async def test_eight_runs_at_once_are_one_refresh(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S)
    keeping.provider.takes_s = 2.0

    waits = [asyncio.ensure_future(keeping.keeper.token_for(JOB)) for _ in range(8)]
    await keeping.clock.advance(2)

    assert {given.token for given in await asyncio.gather(*waits) if given} == {"access-drive-1"}
    assert keeping.provider.asked == ["drive"]


async def test_eight_runs_at_once_share_a_failure_as_well(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S)
    keeping.provider.takes_s = 2.0
    keeping.provider.answers["drive"] = [a_failure()] * 8

    waits = [asyncio.ensure_future(keeping.keeper.token_for(JOB)) for _ in range(8)]
    await keeping.clock.advance(30)

    assert all(given and given.problem for given in await asyncio.gather(*waits))
    assert len(keeping.provider.asked) == 3, "three tries, each for all of them"


async def test_eight_runs_at_once_in_two_processes_are_one_refresh(keeping: Keeping) -> None:
    other = Keeping(clock=keeping.clock, provider=keeping.provider, store=keeping.store)
    await other.keeper.load()
    await keeping.clock.advance(HOUR_S)
    keeping.provider.takes_s = 2.0

    waits = [asyncio.ensure_future(each.keeper.token_for(JOB)) for each in (keeping, other) * 4]
    await keeping.clock.advance(4)

    assert {given.token for given in await asyncio.gather(*waits) if given} == {"access-drive-1"}
    assert keeping.provider.asked == ["drive"]


async def test_a_failure_that_two_processes_waited_for_counts_once(keeping: Keeping) -> None:
    other = Keeping(clock=keeping.clock, provider=keeping.provider, store=keeping.store)
    await other.keeper.load()
    await keeping.clock.advance(HOUR_S - 60)
    keeping.provider.takes_s = 2.0
    keeping.provider.answers["drive"] = [a_failure(), a_failure()]

    waits = [asyncio.ensure_future(each.keeper.token_for(JOB)) for each in (keeping, other)]
    await keeping.clock.advance(4)
    await asyncio.gather(*waits)

    assert keeping.provider.asked == ["drive"]
    assert other.standing().consecutive_transient_failures == 1


async def test_a_run_that_is_called_off_does_not_call_off_the_refresh(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S)
    keeping.provider.takes_s = 2.0
    wait = asyncio.ensure_future(keeping.keeper.token_for(JOB))
    await settle()

    wait.cancel()
    await keeping.clock.advance(2)
    await keeping.keeper.close()

    assert keeping.store.kept["drive"].access_token == "access-drive-1"


async def test_tokens_are_hidden_and_on_disk_before_anybody_has_them(keeping: Keeping, monkeypatch) -> None:
    await keeping.clock.advance(HOUR_S)
    hidden_when_kept = []
    keep = keeping.store.keep_tokens

    async def keep_tokens(name: str, tokens: Tokens) -> None:
        hidden_when_kept.append({tokens.access_token, tokens.refresh_token} <= set(keeping.learnt))
        await keep(name, tokens)

    monkeypatch.setattr(keeping.store, "keep_tokens", keep_tokens)
    given = await token_of(keeping)

    assert hidden_when_kept == [True]
    assert given.token == keeping.store.kept["drive"].access_token


async def test_tokens_of_an_earlier_life_or_another_process_are_hidden_as_well(keeping: Keeping) -> None:
    again = Keeping(clock=keeping.clock, provider=keeping.provider, store=keeping.store)
    await again.keeper.load()
    assert {"access-drive-0", "refresh-drive-0"} <= set(again.learnt)

    await keeping.keeper.refresh_now("drive")
    assert (await token_of(again)).token in again.learnt


async def test_a_full_disk_loses_no_rotated_token(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S - 60)
    keeping.store.full = True

    given = await token_of(keeping)
    assert given.token is None, "not on disk, not used"
    assert keeping.store.kept["drive"].access_token == "access-drive-0"

    keeping.store.full = False
    assert (await token_of(keeping)).token == "access-drive-1"
    assert keeping.standing().last_refresh_error is None
    assert keeping.provider.asked == ["drive"]


async def test_what_waits_for_the_disk_does_not_replace_a_later_sign_in(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S - 60)
    keeping.store.full = True
    await token_of(keeping)
    keeping.store.full = False
    cli = Keeping(clock=keeping.clock, provider=keeping.provider, store=keeping.store)
    await cli.sign_in()

    assert (await token_of(keeping)).token == "access-drive-2"
    await keeping.keeper.refresh_now("drive")
    assert keeping.store.kept["drive"].access_token == "access-drive-3"


async def test_a_sign_in_mends_damaged_tokens(keeping: Keeping, monkeypatch) -> None:
    async def damaged(_: str) -> Tokens | None:
        raise StateError("damaged")

    with monkeypatch.context() as until:
        until.setattr(keeping.store, "tokens", damaged)
        await keeping.sign_in()

    assert (await token_of(keeping)).token == "access-drive-1"


async def test_what_the_disk_took_without_the_standing_is_healed(keeping: Keeping) -> None:
    """Killed between the two writes: the tokens of a new sign-in are there, the standing is of before."""
    keeping.store.standings["drive"] = replace(
        keeping.standing(), needs_reauth=True, is_active=False, last_refresh_at=keeping.clock.now() - timedelta(days=1)
    )
    again = Keeping(clock=keeping.clock, provider=keeping.provider, store=keeping.store)

    await again.keeper.load()

    assert again.standing().is_active
    assert not again.keeper.held(JOB)
    assert again.alerts == []


async def test_a_standing_that_the_disk_does_not_take_holds_nevertheless(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S - 60)
    keeping.provider.answers["drive"] = [DEAD]
    keeping.store.full = True
    await keeping.keeper.refresh_now("drive")
    assert keeping.keeper.held(JOB)

    keeping.store.full = False
    await keeping.keeper.load()

    assert keeping.keeper.held(JOB)
    assert keeping.store.standings["drive"].needs_reauth


# ── dead or not ─────────────────────────────────────────────────────────────


async def test_a_dead_refresh_token_holds_the_job_at_once(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S - 60)
    keeping.provider.answers["drive"] = [DEAD]

    assert (await token_of(keeping)).token == "access-drive-0", "the run that found out gets the API's own answer"
    assert keeping.keeper.held(JOB)
    assert (await token_of(keeping)).token is None
    assert keeping.alerts == ["disconnected"]


async def test_a_refusal_of_a_token_that_somebody_has_replaced_is_none(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S)
    newer = keeping.provider.sign_in(DRIVE)
    keeping.provider.gate = asyncio.Event()
    wait = asyncio.ensure_future(keeping.keeper.token_for(JOB))
    await settle()
    keeping.store.kept["drive"] = newer
    keeping.provider.answers["drive"] = [DEAD]
    keeping.provider.gate.set()

    given = await wait

    assert given
    assert given.token == newer.access_token
    assert not keeping.keeper.held(JOB)


async def test_the_same_where_the_newer_one_is_due_as_well(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S)
    newer = replace(keeping.provider.sign_in(DRIVE), expires_at=keeping.clock.now())
    keeping.provider.gate = asyncio.Event()
    wait = asyncio.ensure_future(keeping.keeper.token_for(JOB))
    await settle()
    keeping.store.kept["drive"] = newer
    keeping.provider.answers["drive"] = [DEAD]
    keeping.provider.gate.set()

    given = await wait

    assert given
    assert given.token == "access-drive-2"


async def test_three_permanent_failures_disconnect_and_a_burst_is_one(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S - 600)
    keeping.provider.answers["drive"] = [WRONG_CLIENT] * 3

    for held, alerts in ((False, []), (False, ["warning"]), (True, ["warning", "disconnected"])):
        await token_of(keeping)
        await token_of(keeping)
        assert keeping.keeper.held(JOB) is held
        assert keeping.alerts == alerts
        await keeping.clock.advance(PERMANENT_AGAIN_S)
    assert len(keeping.provider.asked) == 3


async def test_transient_failures_never_disconnect_and_are_told_once(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S)
    keeping.provider.answers["drive"] = [BUSY] * 12
    for _ in range(4):
        await token_of(keeping)
    assert keeping.alerts == ["rate_limit"]
    assert keeping.standing().consecutive_transient_failures == 12
    assert keeping.standing().last_failure_kind is FailureKind.RATE_LIMIT

    await token_of(keeping)

    assert keeping.standing().consecutive_transient_failures == 0
    assert keeping.standing().last_refresh_error is None
    assert keeping.alerts == ["rate_limit"], "they recover without a word"


async def test_without_a_refresh_token_a_person_is_needed_when_it_expires(keeping: Keeping) -> None:
    tokens = replace(keeping.store.kept["drive"], refresh_token=None)
    await keeping.keeper.accept("drive", tokens)
    await keeping.clock.advance(HOUR_S - 60)
    assert (await token_of(keeping)).token == "access-drive-0"
    assert not keeping.keeper.held(JOB)

    await keeping.clock.advance(60)

    assert (await token_of(keeping)).token == "access-drive-0", "the API's own answer"
    assert keeping.keeper.held(JOB)
    assert keeping.standing().last_refresh_error == (
        "The access token has expired, and the provider gave no refresh token with it."
    )


# ── signing in and out ──────────────────────────────────────────────────────


async def test_signing_in_again_clears_everything(keeping: Keeping) -> None:
    await keeping.clock.advance(HOUR_S)
    keeping.provider.answers["drive"] = [DEAD]
    await keeping.keeper.refresh_now("drive")
    assert keeping.keeper.held(JOB)

    await keeping.sign_in()

    after = keeping.standing()
    assert (after.needs_reauth, after.is_active, after.last_refresh_error) == (False, True, None)
    assert after.last_refresh_at == keeping.clock.now()
    assert keeping.alerts == ["disconnected", "reconnected"]


async def test_another_account_is_refused_unless_it_is_meant(keeping: Keeping) -> None:
    other = keeping.provider.sign_in(DRIVE, account="eve@example.com")

    refused = await keeping.keeper.accept("drive", other)

    assert isinstance(refused, Failure)
    assert refused.code == OTHER_ACCOUNT
    assert keeping.store.kept["drive"].account == "max@example.com"
    assert await keeping.keeper.accept("drive", other, other_account_ok=True) is None
    assert keeping.standing().account == "eve@example.com"


async def test_a_refresh_keeps_what_the_answer_leaves_out(keeping: Keeping) -> None:
    await keeping.keeper.refresh_now("drive")

    assert keeping.store.kept["drive"].account == "max@example.com"
    assert keeping.standing().account == "max@example.com"


async def test_a_sign_in_in_another_process_is_known_at_the_next_run(keeping: Keeping) -> None:
    agent = Keeping(clock=keeping.clock, provider=keeping.provider)
    await agent.keeper.load()
    assert agent.keeper.held(JOB)
    cli = Keeping(clock=keeping.clock, provider=keeping.provider, store=agent.store)

    await cli.sign_in()

    assert (await token_of(agent)).token
    assert not agent.keeper.held(JOB)
    assert agent.alerts == [], "the first sign-in is no return"


async def test_forgetting_gives_the_tokens_to_be_revoked(keeping: Keeping) -> None:
    tokens = await keeping.keeper.forget("drive")

    assert tokens
    assert tokens.access_token == "access-drive-0"
    assert keeping.keeper.held(JOB)
    assert keeping.store.kept == {}


async def test_what_is_not_in_the_yaml_is_not_kept(keeping: Keeping) -> None:
    keeping.connections.connections.clear()

    assert await keeping.keeper.refresh_now("drive") is Refreshed.SKIPPED
    assert await keeping.keeper.forget("drive") is None
    refused = await keeping.keeper.accept("drive", keeping.provider.sign_in(DRIVE))
    assert refused
    assert refused.code == "unknown_connection"
    assert not keeping.keeper.held(JOB)
    assert keeping.keeper.standings() == []


async def test_reports_hear_of_every_change(keeping: Keeping) -> None:
    revision = await keeping.keeper.next_change(0)
    wait = asyncio.ensure_future(keeping.keeper.next_change(revision))
    await settle()
    assert not wait.done()

    await keeping.clock.advance(1)
    await keeping.keeper.refresh_now("drive")

    assert await wait > revision


async def test_no_repr_shows_a_token(keeping: Keeping) -> None:
    given = await token_of(keeping)

    assert "access-drive" not in repr((given, keeping.store.kept, keeping.standing()))
    assert "refresh-drive" not in repr((given, keeping.store.kept))
