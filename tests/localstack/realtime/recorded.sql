-- The tables of recorded.txt.
create table todos (
    id bigint generated always as identity primary key,
    user_id uuid not null,
    task text,
    done boolean not null default false,
    n numeric,
    meta jsonb,
    created_at timestamptz not null default '2026-01-02 03:04:05+00'
);
alter table todos enable row level security;
create policy own on todos for select to authenticated using (user_id = auth.uid());
create table notes (id int primary key, body text);
alter table notes replica identity full;
alter table notes enable row level security;
create policy all_rows on notes for select using (true);
create table typed (
    id uuid primary key default '00000000-0000-4000-8000-000000000001',
    i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, num numeric, b boolean, t text, vc varchar(5), ch char,
    d date, ti time, ts timestamp, tz timestamptz, iv interval, j json, jb jsonb, arr int[], tarr text[], by bytea,
    r int4range, e text
);
create table secret (id int primary key, word text);
grant select on todos, notes, typed to anon, authenticated, service_role;
alter publication supabase_realtime add table todos, notes, typed, secret;
