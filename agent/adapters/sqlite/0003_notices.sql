-- Version 3: what people are told. Nothing that happened before is in `ended`: no notice is about the past.

-- Ends of runs that the notices have not judged yet. `final`: no other attempt is planned, and nothing makes it good.
create table ended (
  seq integer primary key autoincrement,
  run_id text not null,
  final integer not null
);

-- By subject (`job:ID`, …): what the notices know of it. A job without trouble has no row.
create table standings (
  subject text primary key,
  state text not null
);

-- Notices until everybody has been told, and their keys for as long as the history lasts.
create table notices (
  seq integer primary key autoincrement,
  dedupe_key text not null unique,
  filed text not null,
  at integer not null,
  done integer not null default 0
);

create index notices_open on notices (seq) where done = 0;
