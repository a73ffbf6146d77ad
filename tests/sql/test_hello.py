"""Who the agent is: hello, epochs, held requests, and a state directory that was copied."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from tests.sql.stage import PROJECT, Agent, Stage, a_job, a_report


def twin(agent: Agent, *, instance: object = None) -> Agent:
    """Another process of the same user and agent id."""
    return Agent(agent.caller, agent.id, instance=instance or uuid4())  # type: ignore[arg-type]


def test_the_first_hello_is_accepted_with_epoch_1(stage: Stage) -> None:
    answer = stage.agent().hello()

    assert answer.pop("server_time")
    assert answer == {
        "status": "accepted",
        "epoch": 1,
        "role": "agent",
        "schema_version": 1,
        "claim_seq": 0,
        "requeued": [],
        "lost": [],
    }
    (row,) = stage.owner.sql("select * from cron_agents")
    assert (row["hostname"], row["version"], row["platform"], row["state"]) == (
        "mini.local",
        "0.1.0",
        "darwin",
        "online",
    )


def test_a_restart_after_kill_9_is_accepted_at_once_and_what_never_began_returns_to_the_queue(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    began, never = stage.ask(), stage.ask()
    agent.claim("backup")

    answer = twin(agent, instance=agent.instance).hello(known=[began])

    assert (answer["status"], answer["epoch"], answer["requeued"], answer["lost"]) == ("accepted", 2, [never], [])
    waiting = stage.request(never)
    assert (waiting["status"], waiting["attempts"], waiting["claims"], waiting["claimed_by"]) == ("queued", 0, 1, None)
    assert stage.request(began)["status"] == "running"
    assert [str(row["request_id"]) for row in stage.owner.sql("select request_id from cron_leases")] == [began]


def test_a_claim_answer_lost_in_a_crash_costs_no_attempt(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    request = stage.ask()
    agent.claim("backup", seq=5)
    agent = twin(agent, instance=agent.instance)
    answer = agent.hello()

    assert answer["claim_seq"] == 5
    (row,) = agent.claim("backup", seq=6)
    assert (row["id"], row["attempts"], row["claims"]) == (request, 1, 2)


def test_a_hello_that_was_given_up_and_arrives_after_its_repetition_changes_nothing(stage: Stage) -> None:
    """It knows nothing of what was begun since: it would return that to the queue, to run twice."""
    agent = stage.agent().ready("backup")
    late = twin(agent, instance=agent.instance)
    late.epoch = agent.epoch
    agent.hello()
    request = stage.ask()
    (row,) = agent.claim("backup")

    answer = late.hello_once()

    assert (answer["status"], answer["epoch"]) == ("again", 2)
    assert stage.request(request)["status"] == "running"
    assert agent.beat(row)["lost"] == []


def test_a_hello_whose_answer_was_lost_is_said_again_with_the_epoch_that_the_server_names(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    twin(agent, instance=agent.instance).hello()  # executed, the answer lost: the agent still has its old epoch

    again = agent.hello_once()
    assert (again["status"], again["epoch"]) == ("again", 2)
    assert again["server_time"]
    agent.epoch = again["epoch"]
    assert (agent.hello_once()["status"], agent.epoch) == ("accepted", 3)


def test_a_known_request_gets_a_fresh_lease_at_hello(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    request = stage.ask()
    agent.claim("backup", lease_s=60)
    stage.silence(agent, 600)
    agent.hello(known=[request])

    assert stage.owner.one("select expires_at > now() + interval '50 seconds' from cron_leases")


def test_an_unknown_request_whose_cancellation_was_asked_for_ends_instead_of_returning(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    request = stage.ask()
    agent.claim("backup")
    stage.owner.rpc("cron_cancel_request", p_project=PROJECT, p_id=request)

    assert agent.hello()["requeued"] == []
    ended = stage.request(request)
    assert (ended["status"], ended["result"]["reason"]) == ("error", "cancelled")


def test_a_copied_state_directory_is_another_instance_and_is_refused_by_host_name_while_the_old_one_beats(
    stage: Stage,
) -> None:
    agent = stage.agent().ready("backup")
    request = stage.ask()
    agent.claim("backup")

    answer = twin(agent).hello(host="clone.local")

    assert (answer["status"], answer["hostname"]) == ("refused", "mini.local")
    assert answer["last_seen_at"]
    assert stage.request(request)["status"] == "running"
    assert agent.beat()["lost"] == []


def test_a_takeover_replaces_the_old_instance_and_everything_it_held_is_lost(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    request = stage.ask()
    (row,) = agent.claim("backup")
    running = a_report(row, status="running")
    scheduled = a_report(status="running", scheduled_for="2026-03-01T03:00:00+00:00")
    agent.report(running, scheduled)
    clone = twin(agent)

    answer = clone.hello(takeover=True)

    assert (answer["epoch"], answer["lost"], answer["claim_seq"]) == (2, [request], 0)
    ended = stage.request(request)
    assert (ended["status"], ended["result"]["reason"], ended["result"]["ok"]) == ("error", "lost", False)
    assert [stage.run(each["run_id"])["status"] for each in (running, scheduled)] == ["lost", "lost"]  # type: ignore[index]
    assert agent.beat()["superseded"] is True


def test_the_audit_says_that_an_agent_moved_to_another_machine(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    agent.hello()
    twin(agent).hello(takeover=True, host="new.local")

    rows = stage.owner.sql("select actor, agent_id, detail from cron_audit where action = 'new_instance'")
    moved = {"from": "mini.local", "to": "new.local", "takeover": True}
    assert rows == [{"actor": agent.caller.user, "agent_id": "mac-mini", "detail": moved}]


def test_a_lost_request_is_tried_again_only_where_the_job_says_so(stage: Stage) -> None:
    agent = stage.agent()
    agent.hello()
    retry = {"max_attempts": 2, "on": ["lost"], "base_s": 0, "cap_s": 0}
    agent.sync(a_job("safe", retry=retry), a_job("plain", retry=retry | {"on": ["timeout"]}))
    safe, plain = stage.ask("safe"), stage.ask("plain")
    agent.claim("safe", "plain")

    clone = twin(agent)
    clone.hello(takeover=True)

    again = stage.request(safe)
    assert (again["status"], again["attempts"], again["last_error"]) == (
        "queued",
        1,
        "lost: the agent stopped answering",
    )
    assert stage.request(plain)["status"] == "error"
    assert [row["id"] for row in clone.claim("safe")] == [safe]
    twin(agent).hello(takeover=True)
    assert stage.request(safe)["result"]["reason"] == "lost"


def test_another_instance_may_come_when_the_old_one_has_missed_three_beats(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    stage.silence(agent, 44)
    assert twin(agent).hello()["status"] == "refused"
    stage.silence(agent, 46)
    assert twin(agent).hello()["status"] == "accepted"


def test_another_instance_may_come_at_once_when_the_old_one_said_that_it_stopped(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    agent.beat(state="stopped")

    assert twin(agent).hello()["status"] == "accepted"


def test_every_call_with_an_older_epoch_is_told_that_it_is_superseded_and_does_nothing(stage: Stage) -> None:
    old = stage.agent().ready("backup")
    new = twin(old, instance=old.instance)
    new.hello()
    waiting = stage.ask()

    answers = [
        old.beat(),
        old.sync(a_job("other")),
        old.claim_answer("backup"),
        old.call("cron_claim_slot", p_job_id="backup", p_scheduled_for="2026-03-01T03:00Z", p_run_id=str(uuid4())),
        old.call("cron_report", p_reports=[a_report()]),
        old.call("cron_append_logs", p_batches=[]),
    ]

    assert {(answer["superseded"], answer["epoch"]) for answer in answers} == {(True, 2)}
    assert all(answer["server_time"] for answer in answers)
    assert stage.request(waiting)["status"] == "queued"
    assert stage.owner.one("select count(*) from cron_mirror") == 1
    assert stage.owner.one("select count(*) from cron_runs") == 0


def test_an_agent_that_never_said_hello_is_told_to_by_a_temporary_error(stage: Stage) -> None:
    agent = stage.agent()

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="say hello first"):
        agent.beat()


def test_an_epoch_the_server_never_gave_out_is_told_to_say_hello_anew(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    agent.epoch = 99

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="epoch 99"):
        agent.beat()


def test_the_first_hello_binds_a_member_to_its_agent_id_for_good(stage: Stage) -> None:
    agent = Agent(stage.member("agent"), "studio")
    agent.hello()
    agent.id = "another"

    assert stage.owner.one("select agent_id from cron_project_members") == "studio"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="bound to"):
        agent.hello()


def test_a_refused_hello_binds_nothing(stage: Stage) -> None:
    by_key = Agent(stage.enter("service_role"), "studio")
    by_key.hello()

    assert Agent(stage.member("agent"), "studio").hello()["status"] == "refused"
    assert stage.owner.one("select agent_id from cron_project_members") is None


def test_an_agent_id_that_belongs_to_another_member_cannot_be_taken(stage: Stage) -> None:
    stage.agent("mac-mini").hello()

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        Agent(stage.member("agent"), "mac-mini").hello(takeover=True)


def test_the_service_key_may_be_any_agent_and_makes_the_project(stage: Stage) -> None:
    answer = Agent(stage.enter("service_role"), "mac-mini", "brand-new").hello()

    assert (answer["status"], answer["role"]) == ("accepted", "service")
    assert stage.owner.one("select open_access from cron_projects where project_id = 'brand-new'") is False


@pytest.mark.parametrize("argument", ["p_instance", "p_agent", "p_project"])
def test_a_malformed_argument_is_named(stage: Stage, argument: str) -> None:
    arguments = {
        "p_project": PROJECT,
        "p_agent": "mini",
        "p_epoch": 0,
        "p_instance": uuid4(),
        "p_info": {},
        "p_known": [],
    }
    arguments[argument] = None if argument == "p_instance" else ""

    with pytest.raises(psycopg.errors.InvalidParameterValue, match=argument):
        stage.owner.rpc("cron_agent_hello", **arguments)


# ── beat ─────────────────────────────────────────────────────────────────────


def test_a_beat_says_what_is_due_and_when_the_next_is(stage: Stage) -> None:
    agent = stage.agent().ready("backup", "report")
    stage.ask("backup")
    stage.ask("report")
    later = stage.owner.one("select now() + interval '1 hour'")
    stage.ask("backup", p_run_at=later)

    answer = agent.beat(jobs=("backup",))

    assert (answer["due"], answer["cancelled"], answer["lost"], answer["paused"]) == (1, [], [], None)
    assert answer["next_due_at"] == stage.owner.one("select to_jsonb(%s::timestamptz)", later)


def test_a_beat_tells_of_cancellations_and_of_what_is_no_longer_ours(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    stage.ask()
    stage.ask()
    first, second = agent.claim("backup")
    stage.owner.rpc("cron_cancel_request", p_project=PROJECT, p_id=first["id"])
    stale = second | {"claims": 99}
    gone = {"id": str(uuid4()), "claims": 1}

    answer = agent.beat(first, stale, gone)

    assert answer["cancelled"] == [first["id"]]
    assert sorted(answer["lost"]) == sorted([second["id"], gone["id"]])


@pytest.mark.parametrize("state", ["draining", "stopped"])
def test_an_agent_that_stops_hands_back_what_it_never_began(stage: Stage, state: str) -> None:
    agent = stage.agent().ready("backup")
    began, ended, waiting, cancelled = (stage.ask() for _ in range(4))
    rows = agent.claim("backup")
    stage.owner.rpc("cron_cancel_request", p_project=PROJECT, p_id=cancelled)

    answer = agent.beat(rows[0], state=state, known=[began, ended])

    assert answer["lost"] == []
    back = stage.request(waiting)
    assert (back["status"], back["attempts"], back["claims"], back["claimed_by"]) == ("queued", 0, 1, None)
    assert [stage.request(each)["status"] for each in (began, ended)] == ["running", "running"]
    assert stage.request(cancelled)["result"]["reason"] == "cancelled"
    left = stage.owner.sql("select request_id from cron_leases")
    assert sorted(str(row["request_id"]) for row in left) == sorted([began, ended])
    assert agent.report(a_report(rows[1])) == [("accepted", None)]
    assert stage.request(ended)["status"] == "done"


def test_only_an_agent_that_stops_and_says_what_it_knows_hands_anything_back(stage: Stage) -> None:
    agent, other = stage.agent().ready("backup"), stage.agent("studio").ready("report")
    mine, theirs = stage.ask("backup"), stage.ask("report")
    agent.claim("backup")
    other.claim("report")

    agent.beat(state="online", known=[])
    agent.beat(state="draining")
    other.beat(state="stopped", known=[theirs])

    assert [stage.request(each)["status"] for each in (mine, theirs)] == ["running", "running"]
    agent.beat(state="draining", known=[])
    assert [stage.request(each)["status"] for each in (mine, theirs)] == ["queued", "running"]


def test_a_beat_renews_leases_at_half_life_and_wakes_nobody(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    stage.ask()
    (row,) = agent.claim("backup")
    fresh = stage.owner.one("select expires_at from cron_leases")
    version = stage.owner.one("select xmin::text || ctid::text from cron_agents")
    agent.beat(row)
    assert stage.owner.one("select expires_at from cron_leases") == fresh
    stage.owner.sql("update cron_leases set expires_at = now() + interval '29 seconds'")

    agent.beat(row)

    assert stage.owner.one("select expires_at > now() + interval '55 seconds' from cron_leases")
    assert stage.owner.one("select xmin::text || ctid::text from cron_agents") == version


def test_a_beat_writes_the_published_row_only_where_people_would_see_a_difference(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    agent.beat(running=1, clock_skew_ms=20, realtime="connected")
    version = stage.owner.one("select xmin::text from cron_agents")

    agent.beat(running=1, clock_skew_ms=-180, realtime="connected")
    assert stage.owner.one("select xmin::text from cron_agents") == version
    agent.beat(running=1, clock_skew_ms=900, realtime="connected", config_error="line 3")
    (row,) = stage.owner.sql("select running, clock_skew_ms, config_error, realtime from cron_agents")
    assert row == {"running": 1, "clock_skew_ms": 900, "config_error": "line 3", "realtime": "connected"}


def test_a_probe_bumps_probe_at_even_when_nothing_differs(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    agent.beat(probe=True)
    first = stage.owner.one("select probe_at from cron_agents")
    agent.beat(probe=True)

    assert stage.owner.one("select probe_at from cron_agents") > first


def test_a_gap_of_three_beats_starts_beating_since_anew(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    stage.steady(agent, 300)
    agent.beat()
    assert stage.owner.one("select beating_since < now() - interval '299 seconds' from cron_agent_beats")
    stage.silence(agent, 46)

    agent.beat()

    assert stage.owner.one("select beating_since > now() - interval '5 seconds' from cron_agent_beats")


def test_a_pause_of_the_agent_or_the_project_comes_with_the_beat_the_stronger_first(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    stage.owner.rpc("cron_set_paused", p_project=PROJECT, p_mode="schedule")
    assert agent.beat()["paused"] == {"mode": "schedule", "until": None}
    until = stage.owner.one("select now() + interval '1 hour'")
    stage.owner.rpc("cron_set_paused", p_project=PROJECT, p_agent="mac-mini", p_mode="all", p_until=until)

    paused = agent.beat()["paused"]

    assert paused["mode"] == "all"
    assert paused["until"] == stage.owner.one("select to_jsonb(%s::timestamptz)", until)
    stage.owner.sql("update cron_agents set paused_until = now() - interval '1 second'")
    stage.owner.rpc("cron_set_paused", p_project=PROJECT, p_mode="none")
    assert agent.beat()["paused"] is None


def test_the_boxs_own_pause_and_its_last_outage_are_shown_and_operators_cannot_lift_the_former(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    until = stage.owner.one("select to_jsonb(now() + interval '1 hour')")
    outage = {"from": "2026-03-01T12:00:00+00:00", "to": "2026-03-01T13:00:00+00:00", "cause": "asleep"}
    shown = "select box_paused_mode mode, to_jsonb(box_paused_until) until, paused_mode, info, xmin from cron_agents"

    assert agent.beat(paused={"mode": "all", "until": until}, outage=outage)["paused"] is None

    (row,) = stage.owner.sql(shown)
    assert (row["mode"], row["until"], row["paused_mode"]) == ("all", until, None)
    assert (row["info"]["last_outage"], row["info"]["hostname"] is not None) == (outage, True)
    stage.owner.rpc("cron_set_paused", p_project=PROJECT, p_agent="mac-mini", p_mode="none")
    agent.beat(paused={"mode": "all", "until": until}, outage=outage)
    before = stage.owner.sql(shown)
    assert before[0]["mode"] == "all"
    agent.beat(paused={"mode": "all", "until": until}, outage=outage)
    assert stage.owner.sql(shown) == before
    agent.beat(outage={"too": "x" * 3000}, paused={"mode": "nonsense"})
    (row,) = stage.owner.sql(shown)
    assert (row["mode"], row["until"], row["info"]["last_outage"]) == (None, None, outage)


def test_a_beat_of_the_wrong_shape_is_refused_with_its_argument(stage: Stage) -> None:
    agent = stage.agent().ready("backup")

    with pytest.raises(psycopg.errors.InvalidParameterValue, match="p_running must be an array"):
        agent.call("cron_agent_beat", p_running={}, p_state={}, p_job_ids=[])
