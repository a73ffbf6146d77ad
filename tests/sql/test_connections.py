"""Connections in the database: where they stand, and how one is signed in again without a secret lying about."""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg
import pytest

from tests.sql.stage import PROJECT, Agent, Caller, Stage, a_job

FORBIDDEN = psycopg.errors.InsufficientPrivilege
REFUSED = psycopg.errors.InvalidParameterValue
PAGE = "https://jobs.example.com/callback"
STATE = "s" * 32
SIGN_IN = {"authorization_url": f"https://provider.example/authorize?state={STATE}", "state": STATE}


def a_standing(connection_id: str = "drive", **more: Any) -> dict[str, Any]:
    """One of `p_connections`."""
    standing = {"connection_id": connection_id, "provider": "google", "account": "me@example.com", "scopes": ["files"]}
    return standing | {"is_active": True, "token_expires_at": "2026-03-01T13:00:00+00:00"} | more


def report(agent: Agent, *standings: dict[str, Any], ids: list[str] | None = None) -> Any:
    return agent.call("cron_report_connections", p_connections=list(standings), p_ids=ids)


def connection(stage: Stage, connection_id: str = "drive") -> dict[str, Any]:
    return stage.owner.sql("select * from cron_connections where connection_id = %s", connection_id)[0]


def ask(admin: Caller, **more: Any) -> str:
    arguments = {"p_project": PROJECT, "p_connection": "drive", "p_redirect_uri": PAGE} | more
    return str(admin.rpc("cron_reconnect", **arguments)["id"])


def answer(agent: Agent, request: str, **said: Any) -> str:
    return str(agent.call("cron_reconnect_answer", p_id=request, p_answer=said)["outcome"])


def give(
    caller: Caller, request: str, code: str = "the-code", state: str | None = STATE, project: str = PROJECT
) -> Any:
    return caller.one("select cron_reconnect_code(%s, %s, %s, %s)", project, request, state, code)


def take(agent: Agent, request: str) -> Any:
    return agent.call("cron_reconnect_take", p_id=request)["code"]


def row(stage: Stage, request: str) -> dict[str, Any]:
    return stage.owner.sql("select * from cron_connection_requests where id = %s", request)[0]


def codes(stage: Stage) -> int:
    count: int = stage.owner.one("select count(*) from cron_connection_codes")
    return count


def expire(stage: Stage, request: str) -> None:
    stage.owner.sql("update cron_connection_requests set expires_at = now() where id = %s", request)


@pytest.fixture
def agent(stage: Stage) -> Agent:
    """An agent with one connection that needs signing in."""
    agent = stage.agent().ready("backup")
    report(agent, a_standing(is_active=False, needs_reauth=True), ids=["drive"])
    return agent


@pytest.fixture
def admin(stage: Stage) -> Caller:
    return stage.member("admin")


# ── where they stand ─────────────────────────────────────────────────────────


def test_a_report_writes_what_changed_and_drops_what_is_gone(stage: Stage, agent: Agent) -> None:
    report(agent, a_standing(), a_standing("calendar"), ids=["drive", "calendar"])
    drive = connection(stage)
    assert (drive["agent_id"], drive["is_active"], drive["needs_reauth"]) == ("mac-mini", True, False)

    report(agent, a_standing(), a_standing("calendar", last_refresh_error="x" * 900, last_failure_kind="transient"))
    assert connection(stage) == drive, "the same again is no change"
    assert len(connection(stage, "calendar")["last_refresh_error"]) == 500

    report(agent, ids=["drive"])
    assert [each["connection_id"] for each in stage.owner.sql("select connection_id from cron_connections")] == [
        "drive"
    ]


def test_a_row_is_how_it_stands_and_holds_no_token(stage: Stage) -> None:
    columns = stage.owner.sql(
        "select column_name as name from information_schema.columns where table_name = 'cron_connections'"
    )
    assert {each["name"] for each in columns} == {
        "id", "project_id", "connection_id", "provider", "account", "scopes", "agent_id", "is_active",
        "token_expires_at", "needs_reauth", "last_refresh_at", "last_refresh_error", "last_failure_kind",
        "consecutive_failures", "consecutive_transient_failures", "updated_at",
    }  # fmt: skip
    new = "insert into cron_connections (project_id, connection_id, agent_id, provider) values ('p', 'c', 'a', 'x')"
    (row,) = stage.owner.sql(f"{new} returning *")
    assert (row["needs_reauth"], row["consecutive_failures"], row["consecutive_transient_failures"]) == (False, 0, 0)
    with pytest.raises(psycopg.errors.UniqueViolation):
        stage.owner.sql(new)


def test_what_a_sweep_asks_has_its_index(stage: Stage) -> None:
    stage.owner.sql(
        "insert into cron_connections (project_id, connection_id, agent_id, provider, is_active, token_expires_at) "
        "select 'p', n, 'a', 'x', true, now() + n * interval '1 min' from generate_series(1, 5000) n"
    )
    stage.owner.sql("analyze cron_connections")
    plan = stage.owner.sql(
        "explain select connection_id from cron_connections where project_id = 'p' and is_active and not needs_reauth "
        "and token_expires_at < now() + interval '20 min'"
    )
    assert "cron_connections_expiring_idx" in str(plan)


@pytest.mark.parametrize(
    "bad",
    [
        {"connection_id": ""},
        {"connection_id": "x" * 201},
        {"last_failure_kind": "odd"},
        {"token_expires_at": "soon"},
        {"scopes": [str(n) for n in range(201)]},
    ],
)
def test_a_standing_that_is_none_is_refused_with_its_name(agent: Agent, bad: dict[str, Any]) -> None:
    with pytest.raises(REFUSED, match="connection"):
        report(agent, a_standing(**bad))


def test_another_agents_connection_is_refused_until_that_agent_is_long_silent(stage: Stage, agent: Agent) -> None:
    studio = stage.agent("studio").ready()

    told = report(studio, a_standing(account="other@example.com"), ids=["drive"])
    assert told["refused"] == [{"connection_id": "drive", "agent_id": "mac-mini"}]
    assert connection(stage)["account"] == "me@example.com"

    stage.silence(agent, 601)
    assert report(studio, a_standing(account="other@example.com"), ids=["drive"])["refused"] == []
    assert connection(stage)["agent_id"] == "studio"


def test_the_mirror_says_which_connection_a_job_uses(stage: Stage) -> None:
    agent = stage.agent().ready("backup", connection_id="drive")
    assert stage.job("backup")["connection_id"] == "drive"
    agent.sync(a_job("backup", connection_id="calendar"))
    assert stage.job("backup")["connection_id"] == "calendar"
    agent.sync(a_job("backup"))
    assert stage.job("backup")["connection_id"] is None


# ── signing in again ─────────────────────────────────────────────────────────


def test_a_sign_in_from_the_press_to_the_end(stage: Stage, agent: Agent, admin: Caller) -> None:
    request = ask(admin)
    assert agent.beat()["reconnects"] == 1
    (asked,) = report(agent)["requests"]
    assert (asked["id"], asked["connection_id"], asked["redirect_uri"], asked["code"]) == (
        request,
        "drive",
        PAGE,
        False,
    )

    assert answer(agent, request, **SIGN_IN) == "accepted"
    assert agent.beat()["reconnects"] == 0
    (seen,) = admin.sql("select status, authorization_url, state from cron_connection_requests")
    assert seen == {"status": "waiting"} | SIGN_IN

    assert give(admin, request)["status"] == "given"
    assert agent.beat()["reconnects"] == 1
    assert report(agent)["requests"][0]["code"] is True
    assert [take(agent, request), take(agent, request)] == ["the-code", None]
    assert agent.beat()["reconnects"] == 0

    assert answer(agent, request, done=True) == "accepted"
    ended = row(stage, request)
    assert (ended["status"], ended["error"], ended["state"], ended["authorization_url"]) == ("done", None, None, None)
    assert answer(agent, request, error="too late") == "closed"
    assert report(agent)["requests"] == []
    assert stage.owner.one("select outcome from cron_audit where action = 'reconnect'") == "done"


def test_a_sign_in_by_device_code_needs_no_code_of_the_page(stage: Stage, agent: Agent, admin: Caller) -> None:
    request = ask(admin, p_redirect_uri=None)
    answer(agent, request, verification_uri="https://provider.example/device", user_code="ABCD-EFGH")
    assert admin.sql("select verification_uri, user_code from cron_connection_requests") == [
        {"verification_uri": "https://provider.example/device", "user_code": "ABCD-EFGH"}
    ]
    with pytest.raises(REFUSED, match="does not wait for a code"):
        give(admin, request, state=None)
    answer(agent, request, error="the account is another one")
    assert (row(stage, request)["status"], row(stage, request)["error"]) == ("error", "the account is another one")


def test_a_code_is_given_once_by_the_person_who_began_with_the_state_of_this_sign_in(
    stage: Stage, agent: Agent, admin: Caller
) -> None:
    request = ask(admin)
    with pytest.raises(REFUSED, match="does not wait"):
        give(admin, request)
    answer(agent, request, **SIGN_IN)

    for state in ("t" * 32, "", None):
        with pytest.raises(REFUSED, match="another sign-in's"):
            give(admin, request, state=state)
    with pytest.raises(REFUSED, match="not yours"):
        give(stage.member("admin"), request)
    with pytest.raises(REFUSED, match="not yours"):
        give(stage.enter("service_role"), request)
    with pytest.raises(REFUSED, match="not yours"):
        give(stage.owner, request)
    with pytest.raises(REFUSED, match="not yours"):
        give(stage.member("admin", "elsewhere"), request, project="elsewhere")
    assert codes(stage) == 0
    give(admin, request)
    with pytest.raises(REFUSED, match="does not wait"):
        give(admin, request, code="another")


@pytest.mark.parametrize("moment", ["asked", "waiting", "given"])
def test_after_ten_minutes_it_is_over_for_everybody(stage: Stage, agent: Agent, admin: Caller, moment: str) -> None:
    request = ask(admin)
    assert stage.owner.one("select expires_at - requested_at < interval '10 min 1 s' from cron_connection_requests")
    if moment != "asked":
        answer(agent, request, **SIGN_IN)
    if moment == "given":
        give(admin, request)
    expire(stage, request)

    with pytest.raises(REFUSED, match="it is over"):
        give(admin, request)
    assert take(agent, request) is None
    assert answer(agent, request, done=True) == "closed"
    assert report(agent)["requests"] == []
    stage.allow_sweep()
    stage.owner.rpc("cron_sweep", p_project=PROJECT)
    ended = row(stage, request)
    assert (ended["status"], ended["error"], ended["state"]) == ("error", "nobody finished it in time", None)
    assert codes(stage) == 0


def test_a_new_press_replaces_the_open_one_and_cancelling_ends_it(stage: Stage, agent: Agent, admin: Caller) -> None:
    first = ask(admin)
    answer(agent, first, **SIGN_IN)
    give(admin, first)

    second = ask(admin)
    assert row(stage, first)["error"] == "replaced by a newer one"
    assert codes(stage) == 0
    assert answer(agent, first, done=True) == "closed"

    with pytest.raises(REFUSED, match="not yours"):
        stage.member("admin").rpc("cron_reconnect_cancel", p_project=PROJECT, p_id=second)
    admin.rpc("cron_reconnect_cancel", p_project=PROJECT, p_id=second)
    assert row(stage, second)["error"] == "cancelled"
    assert stage.owner.sql("select outcome from cron_audit where action = 'reconnect' order by id") == [
        {"outcome": "error"},
        {"outcome": "cancelled"},
    ]


def test_a_connection_that_is_gone_or_changed_hands_ends_its_sign_in(stage: Stage, agent: Agent, admin: Caller) -> None:
    request = ask(admin)
    report(agent, ids=[])
    assert "does not hold this connection" in row(stage, request)["error"]
    with pytest.raises(REFUSED, match='no connection "drive"'):
        ask(admin)


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "data:text/html,x", "//provider.example", "https://a b", 'https://x/"><script>', ""],
)
def test_no_address_that_a_page_must_not_open(agent: Agent, admin: Caller, address: str) -> None:
    with pytest.raises(REFUSED, match="p_redirect_uri"):
        ask(admin, p_redirect_uri=address)
    request = ask(admin)
    with pytest.raises(REFUSED, match="authorization_url"):
        answer(agent, request, authorization_url=address, state=STATE)
    with pytest.raises(REFUSED, match="verification_uri"):
        answer(agent, request, verification_uri=address, user_code="ABCD")
    with pytest.raises(REFUSED, match="state"):
        answer(agent, request, authorization_url="https://provider.example/", state="guess")


# ── attackers ────────────────────────────────────────────────────────────────


def test_nobody_else_sees_a_sign_in_gets_its_code_or_answers_it(either_stage: Stage) -> None:
    stage = either_stage
    agent = stage.agent().ready()
    report(agent, a_standing(), ids=["drive"])
    admin = stage.member("admin")
    request = ask(admin)
    answer(agent, request, **SIGN_IN)
    give(admin, request)
    others = [
        stage.enter("anon"),
        stage.enter("authenticated"),
        *(stage.member(role) for role in ("viewer", "operator", "admin")),
        stage.agent("studio").caller,
        stage.agent("mac-mini", "elsewhere").caller,
        stage.member("admin", "elsewhere"),
    ]

    for caller in others:
        for table in ("cron_connection_requests", "cron_connection_codes"):
            with contextlib.suppress(FORBIDDEN):
                assert caller.sql(f"select * from {table}") == []  # noqa: S608
        for project, name in ((PROJECT, "mac-mini"), (PROJECT, "studio"), ("elsewhere", "mac-mini")):
            impostor = Agent(caller, name, project, epoch=agent.epoch)
            for act in (
                lambda: take(impostor, request),  # noqa: B023
                lambda: answer(impostor, request, authorization_url="https://evil.example/", state=STATE),  # noqa: B023
                lambda: answer(impostor, request, done=True),  # noqa: B023
            ):
                with contextlib.suppress(FORBIDDEN, psycopg.errors.ObjectNotInPrerequisiteState):
                    assert act() in (None, "closed")
        with pytest.raises((FORBIDDEN, REFUSED)):
            give(caller, request)
    with pytest.raises(FORBIDDEN):
        admin.sql("select * from cron_connection_codes")
    assert take(agent, request) == "the-code"


def test_an_admin_who_is_none_any_more_can_do_nothing_with_his_sign_in(
    stage: Stage, agent: Agent, admin: Caller
) -> None:
    request = ask(admin)
    answer(agent, request, **SIGN_IN)
    stage.owner.rpc("cron_set_member", p_project=PROJECT, p_user_id=admin.user, p_role="operator")

    assert admin.sql("select 1 from cron_connection_requests") == []
    with pytest.raises(FORBIDDEN):
        give(admin, request)


def test_the_agent_that_holds_it_is_woken_by_its_own_row_and_reads_no_sign_in(agent: Agent, admin: Caller) -> None:
    def asked() -> int:
        return int(agent.caller.one("select reconnects from cron_agents"))

    request = ask(admin)
    assert asked() == 1
    answer(agent, request, **SIGN_IN)
    assert asked() == 1
    give(admin, request)
    assert asked() == 2
    assert agent.caller.sql("select id from cron_connection_requests") == []


def test_an_older_epoch_is_superseded(agent: Agent) -> None:
    stale = Agent(agent.caller, epoch=agent.epoch)
    agent.hello()
    for answered in (
        report(stale, a_standing(account="stale")),
        stale.call("cron_reconnect_answer", p_id=None, p_answer={"done": True}),
        stale.call("cron_reconnect_take", p_id=None),
    ):
        assert answered["superseded"] is True


def test_finished_sign_ins_go_with_time(stage: Stage, agent: Agent, admin: Caller) -> None:
    request = ask(admin)
    answer(agent, request, error="no")
    ask(admin)
    stage.owner.sql("update cron_connection_requests set requested_at = now() - interval '15 days'")
    stage.owner.sql("update cron_projects set pruned_at = null")
    agent.beat()
    assert [each["status"] for each in stage.owner.sql("select status from cron_connection_requests")] == ["asked"]
