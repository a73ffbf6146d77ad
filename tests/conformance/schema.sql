-- What the conformance list works on. Apply it once, as `postgres`, to the project that is to be asked;
-- `python -m tests.conformance --print-sql drop` prints what takes it away again. Everything is called conf_….
begin;

create table conf_directors (id int primary key, name text not null, country text);
create table conf_films (
  id int primary key,
  title text not null,
  year int,
  rating numeric(3, 1),
  tags text[],
  facts jsonb,
  shown int4range,
  released date,
  director_id int references conf_directors (id)
);
create table conf_reviews (
  id int primary key,
  film_id int not null references conf_films (id),
  stars int not null,
  body text
);
-- Two ways from a duel to a director: which one is meant has to be said.
create table conf_duels (
  id int primary key,
  winner_id int constraint conf_duels_winner references conf_directors (id),
  loser_id int constraint conf_duels_loser references conf_directors (id)
);
create table conf_genres (id int primary key, name text not null);
create table conf_film_genres (
  film_id int references conf_films (id),
  genre_id int references conf_genres (id),
  primary key (film_id, genre_id)
);
create view conf_old_films with (security_invoker = on) as select id, title, year from conf_films where year < 1970;

insert into conf_directors values (1, 'Agnès', 'FR'), (2, 'Akira', 'JP'), (3, 'Nobody', null);
insert into conf_films values
  (1, 'Cléo', 1962, 7.8, '{walk,paris}', '{"length": 90, "cast": {"lead": "Corinne"}, "reels": ["a", "b"]}', '[1,5)', '1962-04-11', 1),
  (2, 'Ran', 1985, 8.2, '{war,colour}', '{"length": 162}', '[5,10)', '1985-06-01', 2),
  (3, 'Ikiru', 1952, 8.3, '{office}', null, '[1,3)', '1952-10-09', 2),
  (4, '100% "quoted", (odd)', null, null, null, null, null, null, null);
insert into conf_reviews values (1, 1, 5, 'lovely'), (2, 1, 3, null), (3, 2, 4, 'loud');
insert into conf_genres values (1, 'drama'), (2, 'war');
insert into conf_film_genres values (1, 1), (2, 1), (2, 2);
insert into conf_duels values (1, 1, 2), (2, 2, 1);

-- What is written to; conf_reset() puts it back.
create table conf_stock (
  sku text primary key,
  place text not null default 'cellar',
  n int not null default 1 constraint conf_stock_n_check check (n >= 0),
  label text unique,
  film_id int references conf_films (id),
  note text default 'new'
);
-- Everybody has their own notes.
create table conf_notes (
  id bigint generated always as identity primary key,
  owner uuid not null default auth.uid(),
  body text not null
);
alter table conf_notes enable row level security;
create policy conf_own on conf_notes to authenticated using (owner = auth.uid()) with check (owner = auth.uid());
-- Nobody but the service may touch it.
create table conf_vault (id int primary key, word text);

-- What Realtime tells of. conf_events: row-level security that lets everybody read; conf_ledger: none, old rows whole.
create table conf_events (
  id bigint generated always as identity primary key,
  room text not null,
  n int,
  body text,
  price numeric(8, 2),
  tags text[],
  facts jsonb
);
alter table conf_events enable row level security;
create policy conf_all on conf_events for select using (true);
create table conf_ledger (id uuid primary key default gen_random_uuid(), room text not null, n int);
alter table conf_ledger replica identity full;
create table conf_unpublished (id int primary key);

-- Every API role in turn: a project's default privileges may have given them everything.
revoke all on conf_directors, conf_films, conf_reviews, conf_duels, conf_genres, conf_film_genres, conf_old_films,
  conf_stock, conf_notes, conf_vault, conf_events, conf_ledger, conf_unpublished from anon, authenticated, service_role;
grant select on conf_directors, conf_films, conf_reviews, conf_duels, conf_genres, conf_film_genres, conf_old_films,
  conf_events, conf_ledger, conf_unpublished to anon, authenticated;
grant select, insert, update, delete on conf_stock, conf_notes to authenticated;
grant select, insert, update, delete on conf_directors, conf_films, conf_reviews, conf_duels, conf_stock, conf_notes,
  conf_vault, conf_events, conf_ledger, conf_unpublished to service_role;
grant select on conf_old_films to service_role;

create function conf_reset() returns void language sql security definer set search_path = public as $$
  truncate conf_stock;
  insert into conf_stock (sku, place, n, label) values ('ale', 'cellar', 3, 'L1'), ('bread', 'shelf', 5, 'L2'),
    ('cheese', 'shelf', 7, null);
$$;
revoke execute on function conf_reset() from public, anon, authenticated;
grant execute on function conf_reset() to service_role;

create function conf_add(a int, b int default 10) returns int language sql immutable as $$ select a + b $$;
create function conf_films_since(since int) returns setof conf_films language sql stable as
  $$ select * from conf_films where year >= since order by id $$;
create function conf_film(wanted int) returns conf_films language sql stable as
  $$ select * from conf_films where id = wanted $$;
create function conf_pairs() returns table (x int, y text) language sql stable as $$ values (1, 'a'), (2, null) $$;
create function conf_pair(out x int, out y text) language sql stable as $$ select 1, 'a'::text $$;
create function conf_count_to(up_to int) returns setof int language sql stable as
  $$ select generate_series(1, up_to) $$;
create function conf_nothing() returns void language sql as $$ select $$;
create function conf_null() returns text language sql stable as $$ select null::text $$;
create function conf_echo(given jsonb) returns jsonb language sql immutable as $$ select given $$;
create function conf_total(ns int[]) returns bigint language sql immutable as $$ select sum(n) from unnest(ns) n $$;
create function conf_whoami() returns jsonb language sql stable as $$
  select jsonb_build_object('uid', auth.uid(), 'role', auth.role(), 'email', auth.jwt() ->> 'email',
    'database_role', current_user)
$$;
create function conf_take(wanted text) returns int language sql volatile as
  $$ update conf_stock set n = n - 1 where sku = wanted returning n $$;
create function conf_twin(a int) returns text language sql immutable as $$ select 'int' $$;
create function conf_twin(a text) returns text language sql immutable as $$ select 'text' $$;
create function conf_sleep(seconds float) returns void language sql as $$ select pg_sleep(seconds) $$;
create function conf_raise(state text, message text) returns void language plpgsql as $$
begin
  raise exception using errcode = state, message = message, detail = 'the detail', hint = 'the hint';
end
$$;
create function conf_raise_http(body text, meta text) returns void language plpgsql as $$
begin
  raise sqlstate 'PGRST' using message = body, detail = meta;
end
$$;
create function conf_members_only() returns text language sql stable as $$ select 'in'::text $$;
revoke execute on function conf_members_only() from public, anon;
grant execute on function conf_members_only() to authenticated;

create function conf_announce(topic text, event text, payload jsonb) returns void language plpgsql security definer
set search_path = '' as $$
begin
  perform realtime.send(payload, event, topic, true);
end
$$;
revoke execute on function conf_announce(text, text, jsonb) from public, anon, authenticated;
grant execute on function conf_announce(text, text, jsonb) to service_role;

alter publication supabase_realtime add table conf_events, conf_ledger, conf_notes;

-- Private channels: members-… may be read and written by who is signed in; hall-… only read.
do $$
begin
  if to_regclass('realtime.messages') is not null then
    create policy conf_read on realtime.messages for select to authenticated
      using (realtime.topic() like 'conf-members-%' or realtime.topic() like 'conf-hall-%');
    create policy conf_write on realtime.messages for insert to authenticated
      with check (realtime.topic() like 'conf-members-%');
  end if;
end
$$;

commit;
notify pgrst, 'reload schema';
