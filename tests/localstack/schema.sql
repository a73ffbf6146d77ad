create table things (
  id uuid primary key default gen_random_uuid(),
  owner text not null default auth.email(),
  n int unique,
  label text,
  big bigint default 1152921504606846976,
  amount numeric default 1.10,
  at timestamptz default '2026-03-01 12:00:00+01',
  tags text[],
  facts jsonb,
  secret text default 'hidden'
);
alter table things enable row level security;
create policy own on things to authenticated using (owner = auth.email()) with check (owner = auth.email());
grant select (id, owner, n, label, big, amount, at, tags, facts), insert, update on things to authenticated;
grant all on things to service_role;

-- May be written and not read: as cron_run_requests would be for somebody without the right to see.
create table notes (id int generated always as identity primary key, body text default 'empty');
alter table notes enable row level security;
create policy write_only on notes for insert to anon, authenticated with check (true);
grant insert on notes to anon, authenticated;
grant all on notes to service_role;

create table "odd ""name" (id int primary key, "we""ird col" text);
grant all on "odd ""name" to service_role;

create table numbers as select i from generate_series(1, 1200) i;
grant select on numbers to anon, authenticated, service_role;

create function whoami() returns jsonb language sql stable as $$
  select jsonb_build_object('uid', auth.uid(), 'role', auth.role(), 'email', auth.email(), 'user', current_user,
    'session', session_user, 'method', current_setting('request.method'), 'path', current_setting('request.path'),
    'agent', current_setting('request.headers')::jsonb ->> 'x-test')
$$;
create function add(a int, b int default 10) returns int language sql immutable as $$ select a + b $$;
create function add(a int, b int, c int) returns int language sql immutable as $$ select a + b + c $$;
create function twin(a int) returns text language sql as $$ select 'int' $$;
create function twin(a text) returns text language sql as $$ select 'text' $$;
create function nothing(p text) returns void language sql as $$ insert into notes (body) values (p) $$;
create function nobody() returns jsonb language sql as $$ select null::jsonb $$;
create function many(up_to int) returns setof int language sql as $$ select generate_series(1, up_to) $$;
create function pairs() returns table (x int, y text) language sql as $$ values (1, 'a'), (2, null) $$;
create function pair() returns record language sql as $$ select 1 as x, 'a'::text as y $$;
create function one_thing() returns things language sql as $$ select * from things order by n limit 1 $$;
create function typed(i int, t text, u uuid, j jsonb, l text[], z timestamptz default null) returns jsonb language sql as
  $$ select jsonb_build_object('i', i, 't', t, 'u', u, 'j', j, 'l', l, 'z', z) $$;
create function fails(state text, message text) returns jsonb language plpgsql as $$
begin
  raise exception using errcode = state, message = message, detail = 'the detail', hint = 'the hint';
end
$$;
create function own_words(p_message text, p_detail text) returns void language plpgsql as $$
begin
  raise sqlstate 'PGRST' using message = p_message, detail = p_detail;
end
$$;
create function waits(seconds float) returns void language sql as $$ select pg_sleep(seconds) $$;
create function writes_though_stable() returns void language plpgsql stable as $$
begin
  perform nothing('sneaky');
end
$$;
create function any_number(variadic ns int[]) returns int language sql as $$ select cardinality(ns) $$;
create function only_members() returns text language sql as $$ select 'in' $$;
revoke execute on function only_members() from public;
create function is_a_trigger() returns trigger language plpgsql as $$ begin return new; end $$;
