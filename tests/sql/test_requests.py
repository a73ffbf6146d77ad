"""How a request begins, whoever asks: a page that knows two tables, or the RPC."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.sql.stage import PROJECT, Caller, Stage

REFUSED = psycopg.errors.InvalidParameterValue
FORBIDDEN = psycopg.errors.InsufficientPrivilege
INSERT = (
    "insert into cron_run_requests (project_id, job_id, requested_by, status) "
    "values (%s, %s, 'ui', 'queued') returning *"
)

FORGED = "insert into cron_run_requests (project_id, job_id, {}) values ('home-lab', 'backup', {})"


def insert(caller: Caller, job: str = "backup") -> dict[str, Any]:
    return caller.sql(INSERT, PROJECT, job)[0]


def request(caller: Caller, **more: Any) -> Any:
    return caller.rpc("cron_request_run", **({"p_project": PROJECT, "p_job_id": "backup"} | more))


def test_the_insert_of_a_page_that_knows_only_the_two_tables_works(stage: Stage) -> None:
    operator = stage.member("operator", email="ann@example.com")

    row = insert(operator)

    assert (row["status"], row["requested_by"], row["attempts"], row["claims"]) == ("queued", "ui", 0, 0)
    assert row["run_at"] == row["requested_at"]
    assert row["expires_at"] == row["requested_at"] + timedelta(hours=24)
    assert operator.one("select count(*) from cron_run_requests where project_id = %s", PROJECT) == 1


@pytest.mark.parametrize("status", ["done", "error", "running", None])
def test_a_request_inserted_in_another_state_is_refused_with_the_reason(stage: Stage, status: str | None) -> None:
    operator = stage.member("operator")

    with pytest.raises(REFUSED, match='begins with status "queued"'):
        operator.sql(
            "insert into cron_run_requests (project_id, job_id, status) values (%s, 'backup', %s)", PROJECT, status
        )


@pytest.mark.parametrize(
    "column",
    ["claimed_by", "claims", "attempts", "picked_up_at", "completed_at", "result", "last_error", "payload", "run_at"],
)
def test_nobody_may_insert_the_servers_columns(stage: Stage, column: str) -> None:
    operator = stage.member("operator")

    with pytest.raises(FORBIDDEN):
        operator.sql(FORGED.format(column, "null"))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("claimed_by", "'mac-mini'"),
        ("claims", "5"),
        ("attempts", "1"),
        ("picked_up_at", "now()"),
        ("completed_at", "now()"),
        ("result", "'{}'"),
        ("last_error", "'x'"),
        ("cancel_requested_at", "now()"),
    ],
)
def test_a_forged_beginning_is_refused_even_where_grants_would_let_it_pass(
    stage: Stage, column: str, value: str
) -> None:
    with pytest.raises(REFUSED, match="written by the server"):
        stage.owner.sql(FORGED.format(column, value))


def test_the_times_of_a_request_are_the_servers(stage: Stage) -> None:
    operator = stage.member("operator")
    row = operator.sql(
        "insert into cron_run_requests (project_id, job_id, requested_at) values (%s, 'b', '2020-01-01') returning *",
        PROJECT,
    )[0]

    assert row["requested_at"] > row["expires_at"] - timedelta(hours=25)
    early = stage.request(stage.ask(p_run_at="-infinity"))
    assert early["run_at"] == early["requested_at"]


def test_an_end_can_be_brought_forward_but_not_put_off(stage: Stage) -> None:
    rows = stage.owner.sql(
        "insert into cron_run_requests (project_id, job_id, expires_at) values "
        "('home-lab', 'backup', now() + interval '1 hour'), ('home-lab', 'backup', now() + interval '9 days') "
        "returning expires_at - requested_at as left"
    )

    assert [round(row["left"].total_seconds() / 3600) for row in rows] == [1, 24]


def test_a_request_for_later_ends_24_hours_after_that(stage: Stage) -> None:
    later = stage.owner.one("select now() + interval '3 days'")
    row = stage.request(stage.ask(p_run_at=later))

    assert (row["run_at"], row["expires_at"]) == (later, later + timedelta(hours=24))


@pytest.mark.parametrize("when", ["infinity", "2999-01-01T00:00:00Z"])
def test_a_request_for_the_far_future_is_refused(stage: Stage, when: str) -> None:
    with pytest.raises(REFUSED, match="more than a year"):
        stage.ask(p_run_at=when)


def test_a_payload_of_five_megabytes_is_refused_with_its_size_and_the_limit(stage: Stage) -> None:
    with pytest.raises(REFUSED, match=r"payload is 5\d{6} bytes; the limit is 262144"):
        stage.ask(p_payload={"data": "x" * 5_000_000})
    stage.ask(p_payload={"data": "x" * 262_000})


def test_a_payload_of_json_null_is_none(stage: Stage) -> None:
    stage.owner.sql("select cron_request_run('home-lab', 'backup', 'null')")

    assert stage.owner.one("select payload is null from cron_run_requests")


@pytest.mark.parametrize("job", ["", "x" * 201])
def test_a_job_id_must_have_a_reasonable_length(stage: Stage, job: str) -> None:
    with pytest.raises(REFUSED, match="job_id"):
        stage.ask(job)


# ── cron_request_run ─────────────────────────────────────────────────────────


def test_a_request_says_who_serves_the_job_now(stage: Stage) -> None:
    stage.agent().ready("backup")
    operator = stage.member("operator")

    assert request(operator)["agent_ids"] == ["mac-mini"]
    assert request(operator, p_job_id="unknown")["agent_ids"] == []


def test_a_repeated_id_returns_the_same_request(stage: Stage) -> None:
    operator = stage.member("operator")
    chosen = uuid4()

    first, second = request(operator, p_id=chosen), request(operator, p_id=chosen)

    assert (first["id"], first["existing"]) == (str(chosen), False)
    assert (second["id"], second["existing"], second["status"]) == (str(chosen), True, "queued")
    assert stage.owner.one("select count(*) from cron_run_requests") == 1


def test_an_id_of_another_project_is_refused_and_shows_nothing(stage: Stage) -> None:
    taken = stage.owner.rpc("cron_request_run", p_project="elsewhere", p_job_id="secret")["id"]

    with pytest.raises(REFUSED, match="is taken"):
        request(stage.member("operator"), p_id=taken)


def test_a_dedupe_key_is_unique_while_its_request_is_queued_or_running(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    first = request(stage.owner, p_dedupe_key="nightly")
    assert request(stage.owner, p_dedupe_key="nightly") | {"server_time": None} == first | {
        "existing": True,
        "server_time": None,
    }
    agent.claim("backup")
    running = request(stage.owner, p_dedupe_key="nightly")
    assert (running["id"], running["status"], running["existing"]) == (first["id"], "running", True)
    stage.owner.sql("update cron_run_requests set status = 'done'")

    assert request(stage.owner, p_dedupe_key="nightly")["existing"] is False


def test_a_dedupe_key_counts_per_project(stage: Stage) -> None:
    request(stage.owner, p_dedupe_key="nightly")

    assert request(stage.owner, p_project="elsewhere", p_dedupe_key="nightly")["existing"] is False


@pytest.mark.parametrize(("name", "value"), [("p_max_attempts", 0), ("p_max_attempts", 101), ("p_dedupe_key", "")])
def test_a_malformed_argument_is_named(stage: Stage, name: str, value: object) -> None:
    with pytest.raises(REFUSED, match=name):
        request(stage.owner, **{name: value})


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, "ann@example.com"),
        ("ui", "ui"),
        ("bob@example.com", "ann@example.com"),
        ("ann@example.com", "ann@example.com"),
    ],
)
def test_who_asked_is_stamped_where_it_is_missing_or_somebody_else(
    stage: Stage, given: str | None, stored: str
) -> None:
    operator = stage.member("operator", email="ann@example.com")

    assert stage.request(request(operator, p_requested_by=given)["id"])["requested_by"] == stored


def test_the_audit_says_who_asked_and_what_became_of_it(stage: Stage) -> None:
    operator = stage.member("operator", email="ann@example.com")
    row = insert(operator)
    operator.rpc("cron_cancel_request", p_project=PROJECT, p_id=row["id"])

    rows = stage.owner.sql(
        "select actor, actor_name, action, request_id, outcome from cron_audit where action <> 'set_member' order by id"
    )
    mine = {"actor": operator.user, "actor_name": "ann@example.com", "request_id": row["id"]}
    assert rows == [mine | {"action": "request", "outcome": "cancelled"}, mine | {"action": "cancel", "outcome": None}]


# ── cancel ───────────────────────────────────────────────────────────────────


def test_cancelling_a_queued_request_ends_it_at_once(stage: Stage) -> None:
    operator = stage.member("operator")
    asked = request(operator)["id"]

    answer = operator.rpc("cron_cancel_request", p_project=PROJECT, p_id=asked)

    assert (answer["id"], answer["status"]) == (asked, "error")
    ended = stage.request(asked)
    assert (ended["result"]["reason"], ended["result"]["ok"]) == ("cancelled", False)


def test_cancelling_a_running_request_asks_its_agent_once(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    asked = stage.ask()
    (row,) = agent.claim("backup")

    assert stage.owner.rpc("cron_cancel_request", p_project=PROJECT, p_id=asked)["status"] == "running"
    first = stage.request(asked)["cancel_requested_at"]
    stage.owner.rpc("cron_cancel_request", p_project=PROJECT, p_id=asked)
    assert stage.request(asked)["cancel_requested_at"] == first
    assert agent.beat(row)["cancelled"] == [asked]


def test_cancelling_what_has_ended_changes_nothing(stage: Stage) -> None:
    asked = stage.ask()
    stage.owner.rpc("cron_cancel_request", p_project=PROJECT, p_id=asked)
    before = stage.request(asked)

    assert stage.owner.rpc("cron_cancel_request", p_project=PROJECT, p_id=asked)["status"] == "error"
    assert stage.request(asked) == before


def test_cancelling_a_request_of_another_project_finds_nothing(stage: Stage) -> None:
    theirs = stage.owner.rpc("cron_request_run", p_project="elsewhere", p_job_id="backup")["id"]

    with pytest.raises(REFUSED, match="has no request"):
        stage.member("operator").rpc("cron_cancel_request", p_project=PROJECT, p_id=theirs)


def test_people_may_have_a_thousand_requests_waiting_and_a_trusted_caller_more(stage: Stage) -> None:
    operator = stage.member("operator")
    taken = operator.rpc("cron_request_run", p_project=PROJECT, p_job_id="backup", p_dedupe_key="nightly")["id"]
    stage.owner.sql(
        "insert into cron_run_requests (project_id, job_id) select %s, 'backup' from generate_series(1, 1500)", PROJECT
    )
    plain = "insert into cron_run_requests (project_id, job_id) values (%s, 'backup')"

    for ask in (
        lambda: operator.rpc("cron_request_run", p_project=PROJECT, p_job_id="backup"),
        lambda: operator.sql(plain, PROJECT),
    ):
        with pytest.raises(psycopg.Error, match="1,000 requests waiting") as refused:
            ask()
        assert refused.value.sqlstate == "PT429", "PostgREST makes HTTP 429 of it"
    again = [
        operator.rpc("cron_request_run", p_project=PROJECT, p_job_id="backup", **same)
        for same in ({"p_id": taken}, {"p_dedupe_key": "nightly"})
    ]
    assert [(answer["id"], answer["existing"]) for answer in again] == [(taken, True)] * 2
    stage.owner.sql(
        "update cron_run_requests set status = 'error' where ctid in (select ctid from cron_run_requests "
        "where id <> %s limit 502)",
        taken,
    )
    operator.sql(plain, PROJECT)


def test_one_insert_of_many_rows_is_counted_row_by_row(stage: Stage) -> None:
    operator = stage.member("operator")

    with pytest.raises(psycopg.Error, match="1,000 requests waiting"):
        operator.sql(
            "insert into cron_run_requests (project_id, job_id) select %s, 'x' from generate_series(1, 1001)", PROJECT
        )

    assert stage.owner.one("select count(*) from cron_run_requests") == 0
