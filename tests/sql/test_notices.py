"""Notices in the database: each change of state once, who is told, and agents that fall silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.sql.stage import PROJECT, Agent, Stage, a_notice

NOTIFICATIONS = (Path(__file__).parents[2] / "migrations/20261128000200_notifications.sql").read_text()
REFUSED = psycopg.errors.InvalidParameterValue


def notify(agent: Agent, *notices: dict[str, Any]) -> list[str]:
    return [each["verdict"] for each in agent.call("cron_notify", p_notices=list(notices))["results"]]


def claim(agent: Agent) -> list[str]:
    """What its beat says waits, claimed."""
    waiting = [each["id"] for each in agent.beat()["waiting"]]
    return [each["type"] for each in agent.claim_notices(*waiting)["notices"]]


def rows(stage: Stage) -> list[dict[str, Any]]:
    return stage.owner.sql("select * from cron_notifications order by created_at, id")


def types(stage: Stage) -> list[str]:
    return [row["type"] for row in rows(stage)]


def sweep(stage: Stage, by: Agent) -> Any:
    """The beat of an agent that has been here for two minutes."""
    stage.steady(by, 120)
    stage.allow_sweep()
    return by.beat()


# ── what agents say ──────────────────────────────────────────────────────────


def test_the_same_change_of_state_is_said_once_whoever_says_it(stage: Stage) -> None:
    mini, studio = stage.agent().ready(), stage.agent("studio").ready()
    notice = a_notice(dedupe_key="job_failed:backup:7")

    assert notify(mini, notice) == ["created"]
    assert notify(mini, notice) == ["created"], "its answer was lost"
    assert notify(studio, a_notice(dedupe_key="job_failed:backup:7")) == ["duplicate"]
    assert notify(mini, a_notice(dedupe_key="job_failed:backup:7"), a_notice()) == ["duplicate", "created"]
    assert len(rows(stage)) == 2


def test_a_snoozed_subject_is_listed_and_disturbs_nobody(stage: Stage) -> None:
    agent, operator = stage.agent().ready(), stage.member("operator")
    operator.rpc("cron_snooze", p_project=PROJECT, p_subject="job:backup", p_until="tomorrow")
    notice = a_notice()

    assert notify(agent, notice, a_notice(subject="job:other")) == ["snoozed", "created"]
    assert notify(agent, notice) == ["snoozed"]
    assert {row["subject"]: row["read_at"] is not None for row in rows(stage)} == {
        "job:backup": True,
        "job:other": False,
    }

    operator.rpc("cron_snooze", p_project=PROJECT, p_subject="job:backup")
    assert notify(agent, a_notice()) == ["created"]
    for until in ("yesterday", "infinity"):
        with pytest.raises(REFUSED, match="p_until"):
            operator.rpc("cron_snooze", p_project=PROJECT, p_subject="job:backup", p_until=until)
    with pytest.raises(REFUSED, match="p_subject"):
        operator.rpc("cron_snooze", p_project=PROJECT, p_subject="backup", p_until="tomorrow")


@pytest.mark.parametrize(
    "bad",
    [{"type": "odd"}, {"severity": "odd"}, {"subject": "backup"}, {"title": ""}, {"id": None}, {"dedupe_key": None}],
)
def test_a_notice_that_is_none_is_refused(stage: Stage, bad: dict[str, Any]) -> None:
    with pytest.raises(REFUSED, match="is not one"):
        notify(stage.agent().ready(), a_notice(**bad))


def test_a_notice_cannot_come_from_the_future_nor_take_anothers_place(stage: Stage) -> None:
    agent, foreign = stage.agent().ready(), stage.agent("mini", "elsewhere").ready()
    notice = a_notice(at="2099-01-01T00:00:00Z", title="x" * 900)
    notify(agent, notice)

    assert stage.owner.one("select created_at <= now() and length(title) = 200 from cron_notifications")
    assert notify(foreign, a_notice(id=notice["id"])) == ["duplicate"]
    foreign.call("cron_delivered", p_deliveries={notice["id"]: {"mail": {"state": "sent"}}})
    (row,) = rows(stage)
    assert (row["project_id"], row["agent_id"], row["deliveries"]) == (PROJECT, "mac-mini", {})


def test_deliveries_are_shown_channel_by_channel(stage: Stage) -> None:
    agent = stage.agent().ready()
    notice = a_notice()
    notify(agent, notice)

    agent.call("cron_delivered", p_deliveries={notice["id"]: {"mail": {"state": "waiting"}}})
    agent.call("cron_delivered", p_deliveries={notice["id"]: {"mail": {"state": "sent"}, "ntfy": {"state": "failed"}}})
    assert rows(stage)[0]["deliveries"] == {"mail": {"state": "sent"}, "ntfy": {"state": "failed"}}
    assert agent.call("cron_delivered", p_deliveries={str(uuid4()): {}})["written"] == 0
    with pytest.raises(REFUSED, match="must be an object"):
        agent.call("cron_delivered", p_deliveries={notice["id"]: 1})


def test_any_member_marks_as_read_and_only_in_his_project(stage: Stage) -> None:
    agent, viewer = stage.agent().ready(), stage.member("viewer")
    first, second = a_notice(), a_notice()
    notify(agent, first, second, a_notice())
    notify(stage.agent("mini", "elsewhere").ready(), a_notice())

    assert viewer.one("select cron_read_notifications(%s, %s::uuid[])", PROJECT, [first["id"]])["read"] == 1
    assert viewer.rpc("cron_read_notifications", p_project=PROJECT)["read"] == 2
    assert viewer.rpc("cron_read_notifications", p_project=PROJECT)["read"] == 0
    assert stage.owner.one("select count(*) from cron_notifications where read_at is null") == 1


# ── agents that fall silent ──────────────────────────────────────────────────


def test_a_silent_agent_is_said_to_be_offline_once_and_to_be_back_once(stage: Stage) -> None:
    mini, studio = stage.agent().ready(), stage.agent("studio").ready()
    stage.silence(mini, 121)
    assert len(sweep(stage, studio)["waiting"]) == 1
    assert len(sweep(stage, studio)["waiting"]) == 1

    (offline,) = rows(stage)
    assert (offline["type"], offline["severity"], offline["subject"]) == ("agent_offline", "critical", "agent:mac-mini")
    assert offline["title"] == "Mac mini is offline"
    assert claim(studio) == ["agent_offline"]

    mini.beat()
    mini.beat()
    assert types(stage) == ["agent_offline", "agent_online"]
    assert [row["read_at"] is not None for row in rows(stage)] == [True, False]
    assert claim(mini) == ["agent_online"]

    stage.silence(mini, 300)
    sweep(stage, studio)
    assert types(stage) == ["agent_offline", "agent_online", "agent_offline"], "another silence is another notice"


def test_an_open_page_raises_it_where_no_other_agent_is(stage: Stage) -> None:
    mini, viewer = stage.agent().ready(), stage.member("viewer")
    stage.silence(mini, 300)
    for _ in range(3):
        stage.owner.sql(
            "update cron_projects set swept_at = now() - interval '20 s', swept_since = now() - interval '50 s'"
        )
        viewer.rpc("cron_sweep", p_project=PROJECT)
        assert rows(stage) == [], "nobody has been here for a minute"
    stage.owner.sql(
        "update cron_projects set swept_at = now() - interval '20 s', swept_since = now() - interval '61 s'"
    )
    assert viewer.rpc("cron_sweep", p_project=PROJECT)["offline"] == 1
    assert types(stage) == ["agent_offline"]


def test_a_notice_of_silence_that_nobody_has_told_is_not_told_after_the_return(stage: Stage) -> None:
    mini, studio = stage.agent().ready(), stage.agent("studio").ready()
    stage.silence(mini, 300)
    sweep(stage, studio)
    mini.hello()

    assert claim(studio) == ["agent_online"]


@pytest.mark.parametrize("how", ["farewell", "not long enough", "before this came"])
def test_who_said_farewell_or_was_silent_before_is_not_missed(stage: Stage, how: str) -> None:
    mini, studio = stage.agent().ready(), stage.agent("studio").ready()
    if how == "farewell":
        mini.beat(state="stopped")
    stage.silence(mini, 100 if how == "not long enough" else 300)
    if how == "before this came":
        stage.owner.sql("alter table cron_agent_beats drop column offline_since")
        stage.owner.sql(NOTIFICATIONS)
    sweep(stage, studio)
    mini.hello()

    assert rows(stage) == []


def test_a_snoozed_agent_is_listed_and_nobody_told(stage: Stage) -> None:
    mini, studio = stage.agent().ready(), stage.agent("studio").ready()
    stage.owner.rpc("cron_snooze", p_project=PROJECT, p_subject="agent:mac-mini", p_until="tomorrow")
    stage.silence(mini, 300)
    assert sweep(stage, studio)["waiting"] == []
    assert claim(studio) == []
    assert [row["snoozed"] for row in rows(stage)] == [True]


def test_a_claimed_notice_is_one_agents_until_its_lease_ends_or_it_says_how_it_went(stage: Stage) -> None:
    mini, studio, attic = (stage.agent(name).ready() for name in ("mac-mini", "studio", "attic"))
    stage.silence(mini, 300)
    sweep(stage, studio)

    assert [claim(studio), claim(attic)] == [["agent_offline"], []]
    stage.owner.sql("update cron_notice_claims set expires_at = now()")
    assert claim(attic) == ["agent_offline"]
    told = {str(rows(stage)[0]["id"]): {"mail": {"state": "sent"}}}
    assert studio.call("cron_delivered", p_deliveries=told)["written"] == 0
    assert attic.call("cron_delivered", p_deliveries=told)["written"] == 1
    stage.owner.sql("update cron_notice_claims set expires_at = now()")
    assert claim(studio) == []


# ── attackers and age ────────────────────────────────────────────────────────


def test_an_older_epoch_is_superseded(stage: Stage) -> None:
    agent = stage.agent().ready()
    stale = Agent(agent.caller, epoch=agent.epoch)
    agent.hello()

    assert stale.call("cron_notify", p_notices=[a_notice()])["superseded"] is True
    assert stale.claim_notices()["superseded"] is True
    assert stale.call("cron_delivered", p_deliveries={})["superseded"] is True


def test_notices_and_snoozes_that_are_over_go_with_time(stage: Stage) -> None:
    agent = stage.agent().ready()
    notify(agent, a_notice(at="2026-01-01T00:00:00Z"), a_notice(at=None))
    stage.owner.rpc("cron_snooze", p_project=PROJECT, p_subject="job:backup", p_until="tomorrow")
    stage.owner.sql("update cron_snoozes set until = now() - interval '1 second'")
    stage.owner.sql("update cron_projects set pruned_at = null")
    agent.beat()

    assert len(rows(stage)) == 1
    assert stage.owner.one("select count(*) from cron_snoozes") == 0
