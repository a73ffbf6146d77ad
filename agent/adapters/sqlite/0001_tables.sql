-- Version 1 of the journal. Instants are microseconds since 1970 UTC, ids are text.

-- Every run as this box remembers it, and every run that did not happen.
create table runs (
  n integer primary key autoincrement,
  run_id text not null unique,
  job_id text not null,
  trigger text not null,
  status text not null,
  attempt integer not null,
  reason text,
  request_id text,
  claims integer,
  scheduled_for integer,
  started_at integer,
  finished_at integer,
  duration_ms integer,
  exit_code integer,
  output text,
  error text,
  rejected text,
  recorded_at integer not null
);

-- A slot is run once per attempt.
create unique index runs_slot on runs (job_id, scheduled_for, attempt) where scheduled_for is not null;

-- "The last runs of this job", and pruning by it.
create index runs_job on runs (job_id, n);

-- "Did a run of this claim begin here?"
create index runs_claim on runs (request_id, claims) where request_id is not null;

-- What a crash left unfinished.
create index runs_unfinished on runs (n) where status = 'running';

-- Reports that Supabase has not acknowledged, oldest first. `aside` says why one is never sent again.
create table outbox (
  seq integer primary key autoincrement,
  run_id text not null,
  request_id text,
  report text not null,
  bytes integer not null,
  output_bytes integer not null,
  without_output integer not null default 0,
  aside text
);

create index outbox_pending on outbox (seq) where aside is null;

-- The oldest outputs are given up first when the outbox grows too large.
create index outbox_outputs on outbox (seq) where output_bytes > 0;

-- Size of the outbox, kept by triggers: asked with every report.
create table outbox_size (bytes integer not null);

insert into outbox_size values (0);

create trigger outbox_grows after insert on outbox begin
  update outbox_size set bytes = bytes + new.bytes;
end;

create trigger outbox_shrinks after delete on outbox begin
  update outbox_size set bytes = bytes - old.bytes;
end;

create trigger outbox_changes after update of bytes on outbox begin
  update outbox_size set bytes = bytes + new.bytes - old.bytes;
end;

-- Runs that are certain to be wanted and have not begun.
create table planned (
  run_id text primary key,
  job_id text not null,
  trigger text not null,
  attempt integer not null,
  scheduled_for integer,
  due_at integer not null,
  cause text
);

create unique index planned_slot on planned (job_id, scheduled_for, attempt) where scheduled_for is not null;

create index planned_due on planned (due_at);

-- Up to where each job's slots have been decided.
create table cursors (
  job_id text primary key,
  at integer not null
);

-- Small durable values of the agent itself.
create table notes (
  key text primary key,
  value text not null
);
