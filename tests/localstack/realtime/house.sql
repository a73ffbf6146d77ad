-- A small Supabase-like database: the three roles, auth.uid(), and tables with one peculiarity each.
grant usage on schema public to anon, authenticated, service_role;

create schema auth;
grant usage on schema auth to anon, authenticated, service_role;
create function auth.jwt() returns jsonb language sql stable as
$$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
create function auth.uid() returns uuid language sql stable as $$ select (auth.jwt() ->> 'sub')::uuid $$;

-- Everybody sees their own rows.
create table tasks (
    id bigint generated always as identity primary key,
    owner uuid not null,
    title text,
    price numeric,
    extra jsonb,
    done boolean not null default false,
    made_at timestamptz not null default '2026-05-04 03:02:01+00'
);
alter table tasks enable row level security;
create policy own on tasks for select to authenticated using (owner = auth.uid());

-- Everybody sees all rows; old rows come whole.
create table memos (id int primary key, body text);
alter table memos replica identity full;
alter table memos enable row level security;
create policy all_rows on memos for select using (true);

-- No row-level security; one column may not be read; old rows come whole.
create table ledger (id int primary key, amount int, secret text);
alter table ledger replica identity full;

-- Nobody may read it.
create table vault (id int primary key, word text);

create table keyless (word text);

-- A policy that fails on some claims.
create table grumpy (id int primary key);
alter table grumpy enable row level security;
create policy cast_claim on grumpy for select using ((auth.jwt() ->> 'level')::int > 0);

create type mood as enum ('calm', 'cross');
create table shapes (
    id uuid primary key,
    small smallint, plain integer, big bigint, single real, double double precision, exact numeric,
    flag boolean, words text, varied varchar(5), padded char(3), day date, clock time, local_at timestamp,
    at timestamptz, span interval, raw_json json, json jsonb, numbers int[], names text[], bytes bytea,
    range int4range, feeling mood
);

create table unpublished (id int primary key);

grant select on tasks, memos, keyless, grumpy, shapes, unpublished to anon, authenticated, service_role;
grant select (id, amount) on ledger to authenticated;

create publication supabase_realtime for table tasks, memos, ledger, vault, keyless, grumpy, shapes;
