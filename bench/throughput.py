"""The gateway against bare psycopg: requests per second and their latency, on the same Postgres, at the same time.

*ours* is HTTP to `/rest/v1` as a signed-in user: key and token checked, a transaction in the user's role and claims,
row-level security. *bare* is psycopg with prepared statements as a superuser, *bare as user* psycopg doing by hand what
the gateway does in its transaction. *nothing* is the client of *ours* against a server that answers the same bytes and
has done nothing for them. Whoever asks is one process, and shares the processors with what it asks.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import httpx

from bench import children
from bench.figures import Effort, Figures, goal, ratio, rotate
from bench.ground import Ground, until
from bench.throughput_http import WARM_UP_S

CONNECTIONS, QUICK_CONNECTIONS = (1, 8, 32), (2,)
VERBS = ("select", "insert", "rpc")
WINDOW_S, QUICK_WINDOW_S = 1.2, 0.2
GOALS = {"bare": 0.35, "bare_as_user": 0.45}
"""Of their requests per second; docs/adr/0026 says why there are two."""
ROWS = 1000

MADE = """
drop table if exists bench_rows, bench_log;
drop function if exists bench_add;
create table bench_rows (id int primary key, owner uuid, body text not null, n int);
create table bench_log (id bigint generated always as identity primary key, owner uuid not null, body text not null);
insert into bench_rows select i, null, 'row ' || i, i from generate_series(0, 999) i;
create function bench_add(a int, b int) returns int language sql stable as 'select a + b';
alter table bench_rows enable row level security;
alter table bench_log enable row level security;
create policy everybody on bench_rows for select to authenticated using (true);
create policy own on bench_log to authenticated using (owner = auth.uid()) with check (owner = auth.uid());
grant select on bench_rows to authenticated;
grant select, insert on bench_log to authenticated;
notify pgrst, 'reload schema';
"""


async def measure(ground: Ground, effort: Effort) -> dict[str, Any]:
    """`{select, insert, rpc: {"8 connections": {ours, bare, …: {per_s, p50_ms, p95_ms}}}}`, and the ratios."""
    sizes, window = (QUICK_CONNECTIONS, QUICK_WINDOW_S) if effort.quick else (CONNECTIONS, WINDOW_S)
    who, token = await prepared(ground)
    given = {"url": ground.url, "key": ground.key, "token": token, "dsn": ground.dsn, "sub": who, "window_s": window}
    measured: dict[str, Any] = {}
    goals = []
    for verb in VERBS:
        measured[verb] = {}
        for size in sizes:
            asked = given | {"verb": verb, "connections": size}
            turns = {
                "ours": partial(ours, ground, asked),
                "nothing": partial(nothing, asked),
                "bare": partial(load, "bench.rivals.bare_psycopg", asked | {"as_user": False}),
                "bare_as_user": partial(load, "bench.rivals.bare_psycopg", asked | {"as_user": True}),
            }
            found = await rotate(turns, effort, turns_more=2)
            name = f"{size} {'connection' if size == 1 else 'connections'}"
            measured[verb][name] = found
            for rival, at_least in GOALS.items():
                share = ratio(found["ours"]["per_s"], found[rival]["per_s"])
                said = f"{verb}, {name}: ours to {rival.replace('_', ' ')}"
                goals.append(goal(said, share, at_least=at_least))
    return {"goals": goals, "rows": ROWS, "window_s": window, **measured}


async def prepared(ground: Ground) -> tuple[str, str]:
    """Id and access token of a signed-in user, the tables made and known to the gateway."""
    await ground.sql(MADE)
    who = await ground.project()
    async with httpx.AsyncClient(base_url=ground.url, headers={"apikey": ground.key}, verify=False) as http:  # noqa: S501 # plain HTTP
        answer = await http.post(
            "/auth/v1/token",
            params={"grant_type": "password"},
            json={"email": who.who.email, "password": who.who.password},
        )
        token = str(answer.json()["access_token"])

        async def known() -> bool:
            return (
                await http.get("/rest/v1/bench_log", headers={"Authorization": f"Bearer {token}"})
            ).status_code == 200

        await until(known)
    return who.who.id, token


async def ours(ground: Ground, asked: dict[str, Any]) -> Figures:
    """One turn of the gateway, with the processor time that each request took there and in Postgres."""
    before = ground.cpu({})
    figures = await load("bench.throughput_http", asked)
    after = ground.cpu({})
    requests = figures["per_s"] * (asked["window_s"] + WARM_UP_S)
    spent = {f"cpu_{who}_ms": round(1000 * (after[who] - before[who]) / requests, 3) for who in ("gateway", "postgres")}
    return figures | spent


async def nothing(asked: dict[str, Any]) -> Figures:
    """One turn of the client alone, as it were."""
    async with children.child("bench.rivals.nothing_http", json.dumps(asked)) as server:
        return await load("bench.throughput_http", asked | await children.answer(server))


async def load(module: str, asked: dict[str, Any]) -> Figures:
    """One turn, in a process of its own."""
    figures: Figures = await children.run(module, json.dumps(asked))
    return figures
