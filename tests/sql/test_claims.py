"""The one claim path: who gets a queued request, and what a repeated question is answered."""

from __future__ import annotations

import threading
from collections import Counter
from uuid import uuid4

import psycopg
import pytest

from tests.sql.stage import PROJECT, Agent, Stage, a_job, a_report


def test_a_claim_takes_due_requests_oldest_first_and_no_more_than_asked(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    first, second, third = (stage.ask() for _ in range(3))

    rows = agent.claim("backup", limit=2)

    assert [row["id"] for row in rows] == [first, second]
    assert {(row["claims"], row["attempts"], row["max_attempts"]) for row in rows} == {(1, 1, 1)}
    taken = stage.request(first)
    assert (taken["status"], taken["claimed_by"]) == ("running", "mac-mini")
    assert taken["picked_up_at"] is not None
    assert stage.request(third)["status"] == "queued"


def test_the_payload_and_who_asked_come_with_the_claim(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    stage.ask(p_payload={"width": 3}, p_requested_by="ui")

    (row,) = agent.claim("backup")

    assert (row["payload"], row["requested_by"]) == ({"width": 3}, "ui")


def test_a_claim_whose_answer_was_lost_is_answered_again_with_the_same_rows(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    wanted = {stage.ask(), stage.ask()}
    lost = agent.claim("backup", seq=41)
    later = stage.ask()

    again = agent.claim("backup", seq=41)

    assert {row["id"] for row in lost} == {row["id"] for row in again} == wanted
    assert {(row["claims"], row["attempts"]) for row in again} == {(1, 1)}
    assert [row["id"] for row in agent.claim("backup", seq=42)] == [later]


def test_a_repeated_claim_leaves_out_what_has_ended_since(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    stage.ask()
    kept = stage.ask()
    rows = agent.claim("backup", seq=7)
    agent.report(a_report(next(row for row in rows if row["id"] != kept)))

    assert [row["id"] for row in agent.claim("backup", seq=7)] == [kept]


def test_a_straggler_with_a_lower_sequence_number_gets_nothing(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    agent.claim("backup", seq=9)
    waiting = stage.ask()

    assert agent.claim("backup", seq=8) == []
    assert stage.request(waiting)["status"] == "queued"


def test_only_jobs_whose_mirror_row_names_the_agent_are_claimed(stage: Stage) -> None:
    mine, other = stage.agent().ready("backup"), stage.agent("other").ready("report")
    stage.ask("report")

    assert mine.claim("backup", "report") == []
    assert len(other.claim("backup", "report")) == 1


def test_jobs_that_are_not_asked_for_stay_in_the_queue(stage: Stage) -> None:
    agent = stage.agent().ready("backup", "busy")
    stage.ask("busy")

    assert agent.claim("backup") == []


def test_a_request_for_later_is_not_claimed_and_the_answer_says_when(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    later = stage.owner.one("select now() + interval '1 hour'")
    stage.ask(p_run_at=later)

    answer = agent.claim_answer("backup")

    assert (answer["rows"], answer["due"]) == ([], 0)
    assert answer["next_due_at"] == stage.owner.one("select to_jsonb(%s::timestamptz)", later)


def test_the_answer_counts_what_is_left(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    for _ in range(3):
        stage.ask()

    assert agent.claim_answer("backup", limit=1)["due"] == 2


def test_expired_and_cancelled_requests_are_never_claimed(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    stage.owner.sql("update cron_projects set swept_at = now()")
    expired, cancelled = stage.ask(), stage.ask()
    stage.owner.sql("update cron_run_requests set expires_at = now() - interval '1 second' where id = %s", expired)
    stage.owner.sql("update cron_run_requests set cancel_requested_at = now() where id = %s", cancelled)

    assert agent.claim("backup") == []


@pytest.mark.parametrize(("asked", "given"), [(1, 30), (60, 60), (9999, 300)])
def test_the_lease_is_clamped_to_30_to_300_seconds(stage: Stage, asked: int, given: int) -> None:
    agent = stage.agent().ready("backup")
    stage.ask()
    agent.claim("backup", lease_s=asked)

    assert stage.owner.one("select round(extract(epoch from expires_at - now()))::int from cron_leases") == given


def test_eight_connections_that_claim_200_requests_get_each_exactly_once(stage: Stage) -> None:
    agents = [stage.agent(f"agent-{number}") for number in range(8)]
    for agent in agents:
        agent.ready("backup", placement="any")
    stage.owner.sql(
        "insert into cron_run_requests (project_id, job_id) select %s, 'backup' from generate_series(1, 200)", PROJECT
    )
    taken: Counter[str] = Counter()
    lock = threading.Lock()
    begin = threading.Barrier(8)

    def work(agent: Agent) -> None:
        begin.wait()
        while rows := agent.claim("backup", limit=3):
            with lock:
                taken.update(row["id"] for row in rows)

    threads = [threading.Thread(target=work, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 200
    assert set(taken.values()) == {1}
    assert stage.owner.one("select max(claims) from cron_run_requests") == 1


def test_claiming_two_jobs_ends_in_order_of_run_at_not_of_asking(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    late, early = stage.ask(), stage.ask()
    stage.owner.sql("update cron_run_requests set run_at = now() - interval '1 minute' where id = %s", early)

    assert [row["id"] for row in agent.claim("backup")] == [early, late]


def test_claim_arguments_are_checked_by_name(stage: Stage) -> None:
    agent = stage.agent().ready("backup")

    with pytest.raises(psycopg.errors.InvalidParameterValue, match="p_seq"):
        agent.call("cron_claim_requests", p_seq=0, p_job_ids=["backup"], p_limit=1)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="p_limit"):
        agent.call("cron_claim_requests", p_seq=1, p_job_ids=["backup"], p_limit=-1)


# ── slots of shared jobs ─────────────────────────────────────────────────────


SLOT = "2026-03-01T03:00:00+00:00"


def claim_slot(agent: Agent, run_id: str | None = None, job: str = "backup") -> bool:
    answer = agent.call("cron_claim_slot", p_job_id=job, p_scheduled_for=SLOT, p_run_id=run_id or str(uuid4()))
    return bool(answer["won"])


def test_two_agents_that_share_a_job_run_each_slot_once(stage: Stage) -> None:
    one = stage.agent("one").ready("backup", placement="any")
    two = stage.agent("two").ready("backup", placement="any")

    assert claim_slot(one)
    answer = two.call("cron_claim_slot", p_job_id="backup", p_scheduled_for=SLOT, p_run_id=str(uuid4()))

    assert (answer["won"], answer["agent_id"]) == (False, "one")
    assert [row["agent_id"] for row in stage.owner.sql("select * from cron_runs")] == ["one"]


def test_a_slot_that_was_won_is_won_again_when_the_answer_was_lost(stage: Stage) -> None:
    agent = stage.agent().ready("backup", placement="any")
    run_id = str(uuid4())

    assert claim_slot(agent, run_id)
    assert claim_slot(agent, run_id)
    run = stage.run(run_id)
    assert run
    assert (run["status"], run["attempt"], run["trigger"]) == ("running", 1, "schedule")


def test_eight_agents_race_for_one_slot_and_one_wins(stage: Stage) -> None:
    agents = [stage.agent(f"agent-{number}").ready("backup", placement="any") for number in range(8)]
    begin = threading.Barrier(8)
    won: list[str] = []

    def race(agent: Agent) -> None:
        begin.wait()
        if claim_slot(agent):
            won.append(agent.id)

    threads = [threading.Thread(target=race, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert [row["agent_id"] for row in stage.owner.sql("select agent_id from cron_runs")] == won


def test_a_slot_that_one_agent_passed_over_is_anothers_to_run(stage: Stage) -> None:
    busy = stage.agent("busy").ready("backup", placement="any")
    idle = stage.agent("idle").ready("backup", placement="any")
    busy.report(a_report(status="skipped", reason="overlap", scheduled_for=SLOT, started_at=None, finished_at=None))

    assert claim_slot(idle)
    (row,) = stage.owner.sql("select agent_id, status, reason, trigger from cron_runs")
    assert row == {"agent_id": "idle", "status": "running", "reason": None, "trigger": "schedule"}


@pytest.mark.parametrize(("status", "reason"), [("missed", "offline"), ("skipped", "rejected")])
def test_a_slot_that_was_won_and_never_began_is_handed_back(stage: Stage, status: str, reason: str) -> None:
    agent = stage.agent("one").ready("backup", placement="any")
    other = stage.agent("two").ready("backup", placement="any")
    run_id = str(uuid4())
    assert claim_slot(agent, run_id)

    given_up = a_report(
        run_id=run_id, status=status, reason=reason, scheduled_for=SLOT, started_at=None, finished_at=None
    )
    assert agent.report(given_up) == [("accepted", None)]
    assert agent.report(given_up) == [("duplicate", None)]
    run = stage.run(run_id)
    assert run
    assert (run["status"], run["reason"], run["started_at"]) == (status, reason, None)
    assert not claim_slot(agent, run_id)  # a call that was under way for long wins nothing any more
    assert claim_slot(other)


def test_a_won_slot_that_was_closed_as_lost_is_not_won_again(stage: Stage) -> None:
    agent = stage.agent().ready("backup", placement="any")
    run_id = str(uuid4())
    assert claim_slot(agent, run_id)
    stage.owner.sql("update cron_runs set status = 'lost'")

    assert not claim_slot(agent, run_id)


def test_a_missed_slot_is_taken_over_and_its_cause_is_kept(stage: Stage) -> None:
    asleep = stage.agent("asleep").ready("backup", placement="any")
    awake = stage.agent("awake").ready("backup", placement="any")
    asleep.report(a_report(status="missed", reason="asleep", scheduled_for=SLOT, started_at=None, finished_at=None))

    run_id = str(uuid4())
    assert claim_slot(awake, run_id)

    (row,) = stage.owner.sql("select id::text, agent_id, status, reason, trigger from cron_runs")
    assert row == {"id": run_id, "agent_id": "awake", "status": "running", "reason": "asleep", "trigger": "catch_up"}


def test_a_slot_of_a_job_that_is_not_mirrored_yet_may_be_asked_for_again(stage: Stage) -> None:
    agent = stage.agent().ready("backup")

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="sync first"):
        claim_slot(agent, job="unknown")


def test_a_run_id_of_another_run_cannot_win_a_slot(stage: Stage) -> None:
    one = stage.agent("one").ready("backup", placement="any")
    two = stage.agent("two").ready("backup", placement="any")
    run_id = str(uuid4())
    claim_slot(one, run_id)

    with pytest.raises(psycopg.errors.InvalidParameterValue, match="another run"):
        claim_slot(two, run_id)


def test_a_paused_project_hands_out_nothing_but_still_repeats_a_lost_answer(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    held = stage.ask()
    agent.claim("backup", seq=1)
    stage.owner.rpc("cron_set_paused", p_project=PROJECT)
    stage.ask()

    assert [row["id"] for row in agent.claim("backup", seq=1)] == [held]
    answer = agent.claim_answer("backup", seq=2)
    assert (answer["rows"], answer["due"]) == ([], 0)
    stage.owner.rpc("cron_set_paused", p_project=PROJECT, p_mode="none")
    assert len(agent.claim("backup", seq=3)) == 1


def test_the_limit_of_attempts_is_the_jobs_lowered_by_the_request(stage: Stage) -> None:
    agent = stage.agent()
    agent.hello()
    agent.sync(a_job("backup", retry={"max_attempts": 3, "on": ["exit_code"], "base_s": 1, "cap_s": 2}))
    lowered, raised, plain = stage.ask(p_max_attempts=2), stage.ask(p_max_attempts=50), stage.ask()

    limits = {row["id"]: row["max_attempts"] for row in agent.claim("backup")}

    assert limits == {lowered: 2, raised: 3, plain: 3}
