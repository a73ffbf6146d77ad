from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from agent.adapters.supabase import rpc, transport
from agent.adapters.supabase.rest import Rest
from agent.adapters.supabase.rpc import Database
from agent.adapters.supabase.target import Target
from agent.adapters.supabase.transport import drop_connections
from agent.errors import (
    Forgotten,
    HelloRefused,
    NeedsSignIn,
    Refused,
    SchemaMissing,
    SessionExpired,
    Superseded,
    Unreachable,
)
from agent.model import (
    AgentState,
    DevicePrompt,
    FailureKind,
    Hello,
    MirrorRow,
    MirrorSync,
    OutboxEntry,
    ReconnectAnswer,
    ReconnectStatus,
    Report,
    RunningRun,
    RunStatus,
    SignIn,
    Standing,
    Trigger,
    VerdictKind,
)
from tests.support.misbehaving_supabase import ANON, EMAIL, Answer
from tests.support.waiting import wait_until

NOW = "2026-03-01T12:00:00+00:00"
ACCEPTED = {"status": "accepted", "epoch": 3, "role": "agent", "schema_version": 1, "server_time": NOW, "claim_seq": 4}
NEWS = {"cancelled": [], "lost": [], "due": 2, "next_due_at": None, "paused": None, "server_time": NOW}
CLAIMED = {"rows": [], "due": 0, "next_due_at": None, "seq": 1, "server_time": NOW}
WHO = {"p_project": "home-lab", "p_agent": "mac-mini"}


def hello() -> Hello:
    return Hello(instance=UUID(int=5), info={"name": "Mac"}, known=(UUID(int=6),))


async def beat(rest: Rest):
    return await rest.beat([], AgentState(), ["a"])


# ── the wire ─────────────────────────────────────────────────────────────────


async def test_hello_sends_who_we_are_and_every_later_call_carries_the_epoch(rest, fake):
    fake.rpcs |= {"cron_agent_hello": lambda _: ACCEPTED, "cron_agent_beat": lambda _: NEWS}
    reply = await rest.hello(hello())
    assert (reply.epoch, rest.epoch, reply.claim_seq) == (3, 3, 4)
    assert fake.calls[-1].body == {
        **WHO,
        "p_epoch": 0,
        "p_instance": str(UUID(int=5)),
        "p_info": {"name": "Mac"},
        "p_known": [str(UUID(int=6))],
        "p_takeover": False,
    }
    run = RunningRun(run_id=uuid4(), job_id="a", request_id=UUID(int=9), claims=1)
    news = await rest.beat([run], AgentState(running=1), ["a", "b"])
    assert news.due == 2
    assert fake.calls[-1].path == "/rest/v1/rpc/cron_agent_beat"
    assert fake.calls[-1].body["p_epoch"] == 3
    assert fake.calls[-1].body["p_running"] == [{"request_id": str(UUID(int=9)), "claims": 1}]
    assert fake.calls[-1].body["p_job_ids"] == ["a", "b"]
    assert fake.calls[-1].body["p_lease_s"] == 60


async def test_every_call_carries_the_key_and_the_users_token(rest, fake, session):
    fake.rpcs["cron_agent_beat"] = lambda _: NEWS
    await beat(rest)
    assert fake.calls[-1].headers["apikey"] == ANON
    assert fake.calls[-1].token == await session.token()


async def test_a_claim_a_report_and_a_sync_say_what_the_contract_says(rest, fake):
    entry = OutboxEntry(
        seq=8, report=Report(run_id=UUID(int=1), job_id="a", trigger=Trigger.SCHEDULE, status=RunStatus.OK)
    )
    verdict = {"run_id": str(UUID(int=1)), "outcome": "duplicate", "why": None}
    fake.rpcs |= {
        "cron_claim_requests": lambda _: CLAIMED,
        "cron_report": lambda _: {"results": [verdict], "server_time": NOW},
        "cron_sync_mirror": lambda _: {"upserted": 1, "server_time": NOW},
    }
    await rest.claim(7, ["a"], 2, 60)
    assert fake.calls[-1].body == {
        **WHO,
        "p_epoch": 0,
        "p_seq": 7,
        "p_job_ids": ["a"],
        "p_limit": 2,
        "p_lease_s": 60,
    }
    assert (await rest.report([entry]))[8].kind is VerdictKind.DUPLICATE
    assert fake.calls[-1].body["p_reports"][0]["run_id"] == str(UUID(int=1))
    reply = await rest.sync(MirrorSync(rev=2, changed=(MirrorRow(job_id="a", name="A"),), job_ids=("a",)))
    assert reply.upserted == 1
    assert fake.calls[-1].body["p_job_ids"] == ["a"]
    assert fake.calls[-1].body["p_changed"][0]["placement"] == "mine"
    await rest.sync(MirrorSync(rev=3))
    assert fake.calls[-1].body["p_job_ids"] is None


async def test_calls_share_warm_connections(rest, fake):
    fake.rpcs["cron_agent_beat"] = lambda _: NEWS
    for _ in range(5):
        await beat(rest)
    assert len({call.connection for call in fake.calls}) == 1


# ── refusals ─────────────────────────────────────────────────────────────────


async def test_a_refused_hello_names_the_other_machine_and_the_way_out(rest, fake):
    fake.rpcs["cron_agent_hello"] = lambda _: {
        "status": "refused",
        "hostname": "attic",
        "last_seen_at": NOW,
        "server_time": NOW,
    }
    with pytest.raises(HelloRefused) as caught:
        await rest.hello(hello())
    assert caught.value.hostname == "attic"
    assert "--takeover" in caught.value.hint
    assert rest.epoch == 0


async def test_a_hello_is_said_again_with_the_epoch_that_the_server_names(rest, fake):
    again = {"status": "again", "epoch": 2, "server_time": NOW}
    fake.rpcs["cron_agent_hello"] = lambda body: ACCEPTED if body["p_epoch"] == 2 else again
    assert (await rest.hello(hello())).epoch == 3
    assert [call.body["p_epoch"] for call in fake.calls if call.path.endswith("cron_agent_hello")] == [0, 2]
    assert rest.epoch == 3


async def test_a_hello_that_is_never_in_time_is_tried_later(rest, fake):
    fake.rpcs["cron_agent_hello"] = lambda body: {"status": "again", "epoch": body["p_epoch"] + 1, "server_time": NOW}
    with pytest.raises(Unreachable, match="at the same time"):
        await rest.hello(hello())
    assert rest.epoch == 0


async def test_an_older_epoch_is_superseded(rest, fake):
    fake.rpcs["cron_agent_beat"] = lambda _: {"superseded": True, "epoch": 9, "server_time": NOW}
    with pytest.raises(Superseded, match="epoch 9"):
        await beat(rest)


@pytest.mark.parametrize("status", [401, 403])
async def test_no_right_is_refused_with_what_to_do(rest, fake, status):
    fake.next_answer("beat", Answer(status=status, body={"code": "42501", "message": "not a member of home-lab"}))
    with pytest.raises(Refused, match="not a member") as caught:
        await beat(rest)
    assert caught.value.code == "42501"
    assert "cronmirror login" in caught.value.hint
    assert len(fake.paths("beat")) == 1


async def test_a_refusal_without_any_user_says_to_sign_in(make_session, target, http, fake):
    open_target = Target(url=target.url, key=ANON, anonymous=True)
    rest = Rest(Database(open_target, make_session(open_target), http), project="p", agent_id="a")
    fake.next_answer("beat", Answer(status=403, body={"code": "42501", "message": "not open"}))
    with pytest.raises(Refused) as caught:
        await beat(rest)
    assert caught.value.hint.startswith("Sign in")


async def test_a_missing_schema_says_to_migrate(rest):
    with pytest.raises(SchemaMissing) as caught:
        await beat(rest)
    assert "cronmirror migrate" in caught.value.hint


@pytest.mark.parametrize("body", [{"server_time": NOW}, {**NEWS, "cancelled": [7]}, {**NEWS, "paused": "yes"}])
async def test_an_answer_of_another_shape_is_a_schema_of_another_version(rest, fake, body):
    fake.rpcs["cron_agent_beat"] = lambda _: body
    with pytest.raises(SchemaMissing, match="cron_agent_beat"):
        await beat(rest)


async def test_an_epoch_the_server_never_gave_out_asks_for_a_new_hello(rest, fake):
    fake.next_answer("beat", Answer(status=500, body={"code": "55000", "message": "say hello first"}))
    with pytest.raises(Forgotten, match="say hello first"):
        await beat(rest)


async def test_a_bad_argument_is_refused_with_the_servers_hint(rest, fake):
    said = {"code": "22023", "message": "p_limit must be positive", "hint": "give 1"}
    fake.next_answer("claim", Answer(status=400, body=said))
    with pytest.raises(Refused, match="p_limit") as caught:
        await rest.claim(1, [], -1, 60)
    assert (caught.value.status, caught.value.hint) == (400, "give 1")


async def test_what_is_no_json_is_refused_before_it_is_sent(rest, fake):
    fake.rpcs["cron_agent_hello"] = lambda _: ACCEPTED
    for bad in (float("nan"), "\ud800"):
        with pytest.raises(Refused) as caught:
            await rest.hello(Hello(instance=UUID(int=5), info={"name": bad}))
        assert caught.value.status == 400
    assert fake.paths("hello") == []


async def test_a_wrong_key_needs_another_key(make_session, target, http, store, session):
    await session.token()
    wrong = Target(url=target.url, key="sb_publishable_other", email=EMAIL)
    rest = Rest(Database(wrong, make_session(wrong), http), project="p", agent_id="a")
    with pytest.raises(NeedsSignIn, match="API key"):
        await beat(rest)


# ── stale tokens ─────────────────────────────────────────────────────────────


async def test_a_stale_token_is_refreshed_once_and_the_call_repeated(rest, fake, session):
    fake.rpcs["cron_agent_beat"] = lambda _: NEWS
    stale = await session.token()
    fake.valid_tokens.clear()
    await asyncio.gather(*(beat(rest) for _ in range(5)))
    assert await session.token() != stale
    assert len(fake.grants("refresh_token")) == 1


async def test_a_token_refused_twice_is_given_up(rest, fake):
    refusal = Answer(status=401, body={"code": "PGRST301", "message": "JWSError"})
    fake.next_answer("beat", refusal, times=2)
    with pytest.raises(SessionExpired):
        await beat(rest)
    assert len(fake.grants("refresh_token")) == 1


async def test_an_unchanged_token_is_not_tried_again(rest, fake, session):
    stale = await session.token()
    fake.valid_tokens.clear()
    fake.next_answer("token", Answer(body={**fake.grant(), "access_token": stale}))
    fake.valid_tokens.clear()
    with pytest.raises(SessionExpired):
        await beat(rest)
    assert len(fake.paths("beat")) == 1


async def test_a_sign_in_that_waits_for_the_network_does_not_hold_its_callers(rest, fake, monkeypatch):
    monkeypatch.setattr(rpc, "TIMEOUT_S", 0.2)
    fake.next_answer("token", Answer(status=503, body={"msg": "maintenance"}), times=100)
    with pytest.raises(Unreachable, match="maintenance"):
        await beat(rest)


# ── trouble on the way ───────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=408, body={"message": "timeout"}),
        Answer(status=429, body={"message": "slow down"}, headers={"retry-after": "7"}),
        Answer(status=500, body={"code": "57014", "message": "canceling statement due to statement timeout"}),
        Answer(status=503, html="<h1>bad gateway</h1>", headers={"retry-after": "7"}),
        Answer(status=404, html="<h1>nginx</h1>"),
        Answer(status=301, headers={"location": "https://elsewhere/"}),
        Answer(status=200, html="<h1>Welcome to the hotel</h1>"),
        Answer(status=200, body=[1]),
    ],
)
async def test_trouble_that_says_nothing_about_the_call_is_unreachable_and_not_retried_here(rest, fake, answer):
    fake.next_answer("beat", answer)
    with pytest.raises(Unreachable) as caught:
        await beat(rest)
    assert caught.value.retry_after_s == (7.0 if "retry-after" in answer.headers else None)
    assert len(fake.paths("beat")) == 1


@pytest.mark.parametrize(
    ("header", "seconds"), [("0", 0), ("99999999", 300), ("-1", None), ("Sun, 22 Nov 2026 01:00:00 GMT", None)]
)
def test_retry_after_is_bounded(header, seconds):
    assert transport.retry_after(header) == seconds


async def test_a_connection_gone_stale_is_repeated_at_once(rest, fake):
    fake.rpcs["cron_agent_beat"] = lambda _: NEWS
    await beat(rest)
    fake.next_answer("beat", Answer(drop=True))
    await beat(rest)
    assert len(fake.paths("beat")) == 3


async def test_a_connection_that_breaks_twice_is_unreachable(rest, fake):
    fake.next_answer("beat", Answer(drop=True), times=2)
    with pytest.raises(Unreachable):
        await beat(rest)
    assert len(fake.paths("beat")) == 2


async def test_a_claim_whose_answer_was_lost_is_asked_again_with_the_same_number(rest, fake):
    fake.rpcs["cron_claim_requests"] = lambda _: CLAIMED
    fake.next_answer("claim", Answer(drop=True, commit_first=True))
    await rest.claim(41, ["a"], 1, 60)
    assert fake.committed == ["cron_claim_requests"] * 2
    assert [call.body["p_seq"] for call in fake.calls if "claim" in call.path] == [41, 41]


async def test_a_slot_is_ours_or_somebodys(rest, fake):
    at, run_id = datetime(2026, 3, 1, 3, tzinfo=UTC), UUID(int=9)
    fake.rpcs["cron_claim_slot"] = lambda _: {"won": True, "agent_id": "me", "server_time": NOW}
    assert await rest.claim_slot("a", at, run_id) is None
    said = {"p_job_id": "a", "p_scheduled_for": "2026-03-01T03:00:00+00:00", "p_run_id": str(run_id)}
    assert fake.calls[-1].body == {**WHO, "p_epoch": 0, **said}
    fake.rpcs["cron_claim_slot"] = lambda _: {"won": False, "agent_id": "other", "server_time": NOW}
    assert await rest.claim_slot("a", at, run_id) == "other"
    fake.rpcs["cron_claim_slot"] = lambda _: {"won": "perhaps", "agent_id": "other"}
    with pytest.raises(SchemaMissing, match="won"):
        await rest.claim_slot("a", at, run_id)


async def test_slow_answers_end_in_time(make_session, target, fake, monkeypatch):
    monkeypatch.setattr(transport, "TIMEOUT_S", 0.2)
    session = make_session(target)
    async with transport.open_http() as http:
        rest = Rest(Database(target, session, http), project="p", agent_id="a")
        await session.token()
        fake.next_answer("beat", Answer(status=200, body=NEWS, delay_s=1))
        with pytest.raises(Unreachable, match="in time"):
            await beat(rest)


async def test_an_answer_that_drips_ends_in_time(rest, fake, session, monkeypatch):
    monkeypatch.setattr(rpc, "WHOLE_CALL_S", 0.2)
    await session.token()
    fake.next_answer("beat", Answer(status=200, body=NEWS, delay_s=1))
    with pytest.raises(Unreachable, match="in time"):
        await beat(rest)


async def test_a_closed_port_is_unreachable(make_session, http, store, session, fake):
    await session.token()
    gone = Target(url="http://127.0.0.1:9", key="sb_secret_x")
    rest = Rest(Database(gone, make_session(gone), http), project="p", agent_id="a")
    with pytest.raises(Unreachable, match="could not be reached"):
        await beat(rest)


# ── people ───────────────────────────────────────────────────────────────────


async def test_a_person_asks_for_a_run_under_an_id_of_their_own(people, fake):
    fake.rpcs["cron_request_run"] = lambda args: {"id": args["p_id"], "status": "queued", "existing": False}
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    fake.next_answer("cron_request_run", Answer(drop=True, commit_first=True))
    answer = await people.request_run("a", {"w": 1}, run_at=at, max_attempts=1, dedupe_key="k")
    ids = {call.body["p_id"] for call in fake.calls if "cron_request_run" in call.path}
    assert ids == {answer["id"]}
    assert fake.calls[-1].body == {
        "p_project": "home-lab",
        "p_job_id": "a",
        "p_payload": {"w": 1},
        "p_run_at": NOW,
        "p_max_attempts": 1,
        "p_dedupe_key": "k",
        "p_id": answer["id"],
    }


async def test_a_person_cancels(people, fake):
    fake.rpcs["cron_cancel_request"] = lambda args: {"id": args["p_id"], "status": "error"}
    assert (await people.cancel(UUID(int=3)))["status"] == "error"
    assert fake.calls[-1].body == {"p_project": "home-lab", "p_id": str(UUID(int=3))}


async def test_a_row_inserted_like_a_page_does_comes_back_and_can_be_read(people, fake):
    row = await people.insert_request("a", requested_by="ui")
    assert fake.calls[-1].headers["prefer"] == "return=representation"
    assert fake.calls[-1].body == {"project_id": "home-lab", "job_id": "a", "requested_by": "ui", "status": "queued"}
    assert await people.get_request(UUID(row["id"])) == row
    assert fake.calls[-1].query["project_id"] == ["eq.home-lab"]
    assert await people.get_request(UUID(int=1)) is None


async def test_an_insert_whose_answer_was_lost_is_not_sent_again(people, fake):
    fake.next_answer("cron_run_requests", Answer(drop=True, commit_first=True))
    with pytest.raises(Unreachable):
        await people.insert_request("a")
    assert len(fake.rows) == 1


async def test_jobs_are_read_page_by_page(people, fake):
    pages = {None: {"jobs": [{"job_id": "a"}], "next": "a"}, "a": {"jobs": [{"job_id": "b"}], "next": None}}
    fake.rpcs["get_cron_jobs"] = lambda args: pages[args["p_after"]]
    assert [job["job_id"] for job in await people.jobs()] == ["a", "b"]


async def test_runs_are_read(people, fake):
    fake.rpcs["get_cron_job_runs"] = lambda args: [{"runid": args["limit_count"]}]
    assert await people.job_runs(5) == [{"runid": 5}]


async def test_calls_on_connections_from_before_a_sleep_are_asked_again_on_new_ones(database, http, fake):
    fake.rpcs |= {"first": lambda _: {}, "slow": lambda _: {}}
    await database.rpc("first", {})
    fake.next_answer("/rpc/slow", Answer(delay_s=30))
    waiting = asyncio.ensure_future(database.rpc("slow", {}))
    await wait_until(lambda: fake.paths("/rpc/slow"))
    await drop_connections(http)
    await asyncio.wait_for(waiting, 5)
    assert len(fake.paths("/rpc/slow")) == 2


async def test_connections_are_shown_and_reconnects_answered_without_a_secret(rest, fake):
    request = {"id": str(UUID(int=1)), "connection_id": "drive", "status": "given", "redirect_uri": None}
    request |= {"other_account_ok": True, "expires_at": NOW, "code": True}
    fake.rpcs |= {
        "cron_report_connections": lambda _: {
            "refused": [{"connection_id": "mail", "agent_id": "studio"}],
            "requests": [request],
            "server_time": NOW,
        },
        "cron_reconnect_answer": lambda _: {"outcome": "accepted", "server_time": NOW},
        "cron_reconnect_take": lambda _: {"code": "the-code", "server_time": NOW},
    }
    standing = Standing(connection_id="drive", provider="google", last_failure_kind=FailureKind.TRANSIENT)
    reply = await rest.report_connections([standing], ["drive", "mail"])
    assert reply.refused == {"mail": "studio"}
    assert (reply.requests[0].status, reply.requests[0].code_waits) == (ReconnectStatus.GIVEN, True)
    assert fake.calls[-1].body["p_ids"] == ["drive", "mail"]
    assert fake.calls[-1].body["p_connections"][0]["last_failure_kind"] == "transient"
    sign_in = SignIn(url="https://provider.example/", state="s" * 32, redirect_uri="https://page/", verifier="secret-1")
    prompt = DevicePrompt(
        device_code="secret-2", user_code="AB", verification_uri="https://device/", expires_at=datetime.now(UTC)
    )
    for answer, body in (
        (ReconnectAnswer(sign_in=sign_in), {"authorization_url": "https://provider.example/", "state": "s" * 32}),
        (ReconnectAnswer(device=prompt), {"verification_uri": "https://device/", "user_code": "AB"}),
        (ReconnectAnswer(error="no"), {"error": "no"}),
        (ReconnectAnswer(), {"done": True}),
    ):
        assert await rest.answer_reconnect(UUID(int=1), answer) is True
        assert fake.calls[-1].body["p_answer"] == body
    assert await rest.take_code(UUID(int=1)) == "the-code"
    fake.rpcs["cron_reconnect_take"] = lambda _: {"code": None, "server_time": NOW}
    assert await rest.take_code(UUID(int=1)) is None
