"""Jobs that several agents share: whatever each of them says, a change of the project's state is told once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.sql.stage import PROJECT, Agent, Stage, a_notice, a_report

NOW = datetime.now(UTC) - timedelta(hours=6)
FAILED, RECOVERED, MISSED = "job_failed", "job_recovered", "job_missed"


def at(minutes: float) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat()


def say(agent: Agent, kind: str, minutes: float, **shared: Any) -> str:
    """The agent's notice of the shared job; its verdict."""
    notice = a_notice(kind, at=at(minutes), shared=shared)
    return agent.call("cron_notify", p_notices=[notice])["results"][0]["verdict"]


def ran(agent: Agent, minutes: float, status: str = "ok", **more: Any) -> None:
    """The agent's report of a run that took a minute."""
    when = {"started_at": at(minutes), "finished_at": at(minutes + 1)}
    assert agent.report(a_report(status=status, run_id=str(uuid4()), **when, **more)) == [("accepted", None)]


def types(stage: Stage) -> list[str]:
    return [row["type"] for row in stage.owner.sql("select type from cron_notifications order by filed_at")]


def waiting(agent: Agent) -> list[str]:
    return [each["type"] for each in agent.beat()["waiting"]]


@pytest.fixture
def pair(stage: Stage) -> tuple[Agent, Agent]:
    return tuple(stage.agent(name).ready("backup", placement="any") for name in ("mac-mini", "studio"))


# ── failing and working again ────────────────────────────────────────────────


def test_what_fails_on_two_agents_is_one_failure_and_one_recovery(stage: Stage, pair: tuple[Agent, Agent]) -> None:
    mini, studio = pair

    assert [say(mini, FAILED, 0), say(studio, FAILED, 1), say(mini, FAILED, 2)] == ["created", "taken", "taken"]
    assert [say(mini, RECOVERED, 3), say(studio, RECOVERED, 4)] == ["created", "taken"]
    assert [say(studio, FAILED, 5), say(mini, FAILED, 6)] == ["created", "taken"]
    assert types(stage) == [FAILED, RECOVERED, FAILED]


def test_two_agents_that_say_it_at_the_same_time_are_told_apart(stage: Stage, pair: tuple[Agent, Agent]) -> None:
    with ThreadPoolExecutor(2) as pool:
        for minute in range(15):
            said = pool.map(lambda agent, n=minute: say(agent, FAILED, n), pair)
            assert sorted(said) == ["created", "taken"]
            list(pool.map(lambda agent, n=minute: say(agent, RECOVERED, n), pair))
    assert types(stage) == [FAILED, RECOVERED] * 15


def test_an_answer_that_was_lost_is_given_again(pair: tuple[Agent, Agent]) -> None:
    mini, studio = pair
    notice = a_notice(at=at(0), shared={})
    for _ in range(2):
        assert mini.call("cron_notify", p_notices=[notice])["results"][0]["verdict"] == "created"
    taken = a_notice(RECOVERED, at=at(1), shared={})
    for _ in range(2):
        assert studio.call("cron_notify", p_notices=[taken])["results"][0]["verdict"] == "taken"


def test_a_good_run_elsewhere_is_the_recovery_and_goes_first_to_whoever_said_the_failure(
    stage: Stage, pair: tuple[Agent, Agent]
) -> None:
    mini, studio = pair
    say(mini, FAILED, 0)
    ran(studio, 15, "error")
    assert types(stage) == [FAILED]
    ran(studio, 30)
    ran(studio, 45)

    assert types(stage) == [FAILED, RECOVERED]
    row = stage.owner.sql("select * from cron_notifications where type = 'job_recovered'")[0]
    assert (row["title"], row["subject"], row["severity"]) == ("Backup works again", "job:backup", "info")
    assert "(mac-mini).\nOn studio, " in row["body"]
    assert [waiting(studio), waiting(mini)] == [[], [RECOVERED]]
    assert studio.claim_notices(str(row["id"]))["notices"] == []
    assert say(mini, RECOVERED, 31) == "taken", "its own good run tells it nothing new"

    stage.owner.sql("update cron_notice_claims set expires_at = now()")
    assert waiting(studio) == [RECOVERED]
    assert len(studio.claim_notices(str(row["id"]))["notices"]) == 1
    assert waiting(mini) == []


def test_a_recovery_that_another_agent_says_is_brought_out_by_whoever_said_the_failure(
    pair: tuple[Agent, Agent],
) -> None:
    mini, studio = pair
    say(mini, FAILED, 0)
    assert say(studio, RECOVERED, 1) == "taken"
    assert [waiting(studio), waiting(mini)] == [[], [RECOVERED]]


def test_a_report_of_a_run_from_before_the_failure_takes_nothing_back(stage: Stage, pair: tuple[Agent, Agent]) -> None:
    mini, studio = pair
    say(mini, FAILED, 30)
    ran(studio, 0)
    assert types(stage) == [FAILED]


def test_a_failure_that_was_over_before_it_is_heard_of_is_told_to_nobody(
    stage: Stage, pair: tuple[Agent, Agent]
) -> None:
    mini, studio = pair
    say(studio, FAILED, 0)
    ran(studio, 30)
    assert say(mini, FAILED, 40, ended_at=at(10)) == "taken"
    assert types(stage) == [FAILED, RECOVERED]
    assert say(mini, FAILED, 41, ended_at=at(40)) == "created"


def test_whoever_was_told_of_it_while_supabase_was_away_hears_of_its_end(
    stage: Stage, pair: tuple[Agent, Agent]
) -> None:
    mini, studio = pair
    ran(studio, 30)
    assert say(mini, FAILED, 10, told=True) == "created"
    assert types(stage) == [FAILED, RECOVERED]
    assert [waiting(studio), waiting(mini)] == [[], [RECOVERED]]


def test_what_still_fails_is_said_again_once_for_the_whole_project(pair: tuple[Agent, Agent]) -> None:
    mini, studio = pair
    say(mini, FAILED, 0, realert_s=3600)
    said = [say(agent, FAILED, minutes, realert_s=3600) for minutes in (59, 60, 61, 119, 120) for agent in pair]
    assert said == ["taken", "taken", "created", "taken", "taken", "taken", "taken", "taken", "created", "taken"]
    assert say(studio, FAILED, 500) == "taken"


def test_a_job_that_is_nobody_elses_is_told_as_ever(stage: Stage) -> None:
    mini = stage.agent().ready("backup")
    failed = [a_notice(at=at(n)) for n in range(2)]
    results = mini.call("cron_notify", p_notices=failed)["results"]
    ran(mini, 30)
    assert [each["verdict"] for each in results] == ["created", "created"]
    assert types(stage) == [FAILED, FAILED]
    assert waiting(mini) == []


def test_a_snoozed_job_recovers_without_disturbing_anybody(stage: Stage, pair: tuple[Agent, Agent]) -> None:
    mini, studio = pair
    stage.owner.rpc("cron_snooze", p_project=PROJECT, p_subject="job:backup", p_until="tomorrow")
    assert [say(mini, FAILED, 0, for_others=True), say(studio, FAILED, 1)] == ["snoozed", "taken"]
    ran(studio, 30)
    assert types(stage) == [FAILED, RECOVERED]
    assert [waiting(mini), waiting(studio)] == [[], []]


# ── an agent without a channel ───────────────────────────────────────────────


def test_what_no_channel_of_its_own_takes_is_brought_out_by_another_agent_and_so_is_its_end(
    pair: tuple[Agent, Agent],
) -> None:
    mini, studio = pair
    assert say(mini, FAILED, 0, for_others=True) == "taken"
    (notice,) = studio.beat()["waiting"]
    assert (notice["type"], notice["severity"], notice["subject"]) == (FAILED, "warning", "job:backup")
    assert len(studio.claim_notices(notice["id"])["notices"]) == 1
    ran(mini, 30)
    assert [waiting(mini), waiting(studio)] == [[], [RECOVERED]]


def test_what_nobody_has_brought_out_is_taken_back_in_silence(stage: Stage, pair: tuple[Agent, Agent]) -> None:
    mini, studio = pair
    say(mini, FAILED, 0, for_others=True)
    ran(mini, 30)
    assert types(stage) == [FAILED, RECOVERED]
    assert [waiting(mini), waiting(studio)] == [[], []]


def test_what_waits_longer_than_a_day_is_no_news(stage: Stage, pair: tuple[Agent, Agent]) -> None:
    mini, studio = pair
    say(mini, FAILED, 0, for_others=True)
    assert waiting(studio) == [FAILED]
    stage.owner.sql("update cron_notifications set created_at = now() - interval '25 hours'")
    assert waiting(studio) == []


# ── slots ────────────────────────────────────────────────────────────────────


def test_slots_that_another_agent_has_run_were_not_missed(stage: Stage, pair: tuple[Agent, Agent]) -> None:
    mini, studio = pair
    ran(studio, 0, scheduled_for=at(0))
    assert say(mini, MISSED, 5, slots=[at(0)]) == "taken"
    assert say(mini, MISSED, 6, slots=[at(0), at(2)]) == "created", "nobody ran the second one"
    assert types(stage) == [MISSED]


def test_slots_that_everybody_missed_are_said_once_until_the_job_runs_again(pair: tuple[Agent, Agent]) -> None:
    mini, studio = pair
    assert [say(agent, MISSED, 5, slots=[at(0)]) for agent in pair] == ["created", "taken"]
    assert say(mini, MISSED, 20, slots=[at(15)]) == "taken"
    ran(studio, 30, "error", scheduled_for=at(30))
    assert [say(agent, MISSED, 50, slots=[at(45)]) for agent in pair] == ["created", "taken"]
