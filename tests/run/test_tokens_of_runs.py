"""What a run gets of its connection: a variable, a file or a header; and what becomes of it where there is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.model import (
    Command,
    GivenToken,
    HandOver,
    HttpCall,
    Job,
    Reason,
    Run,
    RunStatus,
    Trigger,
)
from agent.run.perform import request
from agent.run.redact import KEPT, Redactor
from tests.run.test_executor import Box, shell
from tests.support.fake_runs import a_job, a_request, a_run

SLOT = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = GivenToken(variable="DRIVE_ACCESS_TOKEN", token="secret-token")
SIGNED_OUT = GivenToken(variable="DRIVE_ACCESS_TOKEN", problem="Connection drive needs …", needs_reauth=True)


class FakeTokens:
    """`agent.ports.RunTokens`."""

    def __init__(self, given: GivenToken) -> None:
        self.given = given

    async def token_for(self, job: Job) -> GivenToken | None:
        return self.given if job.connection else None


@pytest.fixture
def tokens() -> FakeTokens:
    return FakeTokens(TOKEN)


@pytest.fixture
def box(tmp_path: Path, tokens: FakeTokens) -> Box:
    return Box(tmp_path, tokens)


def uses_drive(script: str, **fields) -> Run:
    return a_run(replace(shell(script), connection="drive"), **fields)


async def test_a_process_finds_its_token_in_the_variable(box: Box) -> None:
    outcome = await box.run(uses_drive('echo "got $DRIVE_ACCESS_TOKEN"; ps -o args= -p $$'))

    assert "got secret-token" in outcome.stdout.text
    assert outcome.stdout.text.count("secret-token") == 1, "not among the arguments"


async def test_the_connection_wins_over_a_variable_of_the_same_name(box: Box) -> None:
    run = uses_drive("echo $DRIVE_ACCESS_TOKEN")
    command = replace(run.job.command, env={"DRIVE_ACCESS_TOKEN": "stale"})

    outcome = await box.run(replace(run, job=replace(run.job, command=command)))

    assert outcome.stdout.text == "secret-token\n"


async def test_or_in_a_file_for_its_eyes_that_is_gone_afterwards(box: Box, tokens: FakeTokens) -> None:
    tokens.given = replace(TOKEN, hand_over=HandOver.FILE, variable="DRIVE_ACCESS_TOKEN_FILE")

    outcome = await box.run(uses_drive("cat $DRIVE_ACCESS_TOKEN_FILE; ls -l $DRIVE_ACCESS_TOKEN_FILE"))

    assert outcome.stdout.text.startswith("secret-token-rw-------")
    assert box.payloads.left == []


async def test_a_file_that_cannot_be_written_is_an_error(box: Box, tokens: FakeTokens) -> None:
    tokens.given = replace(TOKEN, hand_over=HandOver.FILE)
    box.payloads.broken = True

    outcome = await box.run(uses_drive("touch begun"))

    assert (outcome.status, outcome.reason) == (RunStatus.ERROR, Reason.SPAWN_FAILED)
    assert outcome.error == "Not started, the token could not be handed over: disk full"
    assert not (box.folder / "begun").exists()


async def test_a_job_without_a_connection_has_none(box: Box) -> None:
    assert (await box.sh("echo $DRIVE_ACCESS_TOKEN")).stdout.text == "\n"


async def test_a_request_over_http_carries_it_unless_it_has_its_own(box: Box) -> None:
    call = HttpCall(url="https://example.com")
    run = a_run(a_job(command=Command(http=call), connection="drive"))
    await box.run(run)
    assert box.calls.calls[0].headers == {"Authorization": "Bearer secret-token"}

    own = HttpCall(url="https://example.com", headers={"authorization": "mine"})
    assert request(run, own, TOKEN).headers == {"authorization": "mine"}
    assert request(run, call).headers == {}


async def test_a_token_that_may_be_stale_is_used(box: Box, tokens: FakeTokens) -> None:
    tokens.given = replace(TOKEN, problem="The token could not be refreshed.")

    assert (await box.run(uses_drive("true"))).status is RunStatus.OK


@pytest.mark.parametrize("trigger", [Trigger.SCHEDULE, Trigger.CATCH_UP])
async def test_a_slot_without_a_sign_in_goes_back_to_the_schedule(box: Box, tokens: FakeTokens, trigger) -> None:
    tokens.given = SIGNED_OUT

    outcome = await box.executor.execute(uses_drive("touch begun", trigger=trigger, scheduled_for=SLOT), box.cancel)

    assert outcome is None
    assert box.journal.reports == []
    assert not (box.folder / "begun").exists()


async def test_whoever_pressed_run_is_told_at_once(box: Box, tokens: FakeTokens) -> None:
    tokens.given = SIGNED_OUT
    run = uses_drive("touch begun")
    run = replace(run, request=a_request(run.job), trigger=Trigger.REQUEST)

    outcome = await box.run(run)

    assert (outcome.status, outcome.reason) == (RunStatus.SKIPPED, Reason.NEEDS_REAUTH)
    assert outcome.error == "Not started: Connection drive needs …"
    assert box.last.result
    assert (box.last.result["ok"], box.last.result["reason"]) == (False, "needs_reauth")


async def test_a_retry_that_finds_nobody_signed_in_ends(box: Box, tokens: FakeTokens) -> None:
    tokens.given = SIGNED_OUT

    outcome = await box.run(uses_drive("true", scheduled_for=SLOT, attempt=2))

    assert outcome.reason is Reason.NEEDS_REAUTH


async def test_no_token_for_any_other_reason_is_an_error_that_says_so(box: Box, tokens: FakeTokens) -> None:
    tokens.given = replace(SIGNED_OUT, needs_reauth=False, problem="There is no token of drive: it is down.")

    outcome = await box.run(uses_drive("true", scheduled_for=SLOT))

    assert (outcome.status, outcome.reason) == (RunStatus.ERROR, Reason.SPAWN_FAILED)
    assert outcome.error == "Not started: There is no token of drive: it is down."


def test_the_newest_tokens_of_an_owner_are_hidden_and_the_others_are_not_kept() -> None:
    redactor = Redactor(["lasting secret"])
    for number in range(1000):
        redactor.renew("drive", [f"access-{number:04}", f"refresh-{number:04}"])
    redactor.renew("mail", ["access-mail"])
    before = len(redactor._needles)
    redactor.renew("mail", ["access-mail", "abc"])

    assert redactor("lasting secret access-0999 refresh-0990 access-mail abc") == "*** *** *** *** abc"
    assert redactor("access-0000") == "access-0000"
    assert len(redactor._needles) == before < 20 * (KEPT + 2)
