-- Agents, what they ran, what it printed, and who asked for it.

-- Published: written only where something a person would see has changed.
create table if not exists public.cron_agents (
  id uuid primary key default gen_random_uuid(),
  project_id text not null,
  agent_id text not null,
  name text,
  version text,
  hostname text,
  platform text,
  instance_id uuid,
  epoch integer not null default 0,
  started_at timestamptz,
  connected_since timestamptz,
  state text not null default 'online' check (state in ('online', 'draining', 'stopped')),
  realtime text not null default 'polling' check (realtime in ('connected', 'polling')),
  running integer not null default 0,
  jobs integer not null default 0,
  config_error text,
  clock_skew_ms integer,
  last_sync_at timestamptz,
  probe_at timestamptz,
  paused_until timestamptz,
  paused_mode text check (paused_mode in ('all', 'schedule')),
  info jsonb,
  unique (project_id, agent_id)
);

-- Unpublished: pages poll `last_seen_at`; the rest is what the RPCs must remember about an agent.
create table if not exists public.cron_agent_beats (
  project_id text not null,
  agent_id text not null,
  last_seen_at timestamptz not null default now(),
  beating_since timestamptz not null default now(),
  mirror_rev bigint not null default 0,
  claim_seq bigint not null default 0,
  claim_ids uuid[] not null default '{}',
  primary key (project_id, agent_id)
);

-- Every run, and every run that did not happen. The id is the agent's.
create table if not exists public.cron_runs (
  id uuid primary key,
  project_id text not null,
  job_id text not null,
  agent_id text not null,
  request_id uuid,
  trigger text not null check (trigger in ('schedule', 'request', 'catch_up', 'startup')),
  scheduled_for timestamptz,
  attempt integer not null default 1 check (attempt >= 1),
  status text not null check (status in ('running', 'ok', 'error', 'timeout', 'cancelled', 'skipped', 'missed', 'lost')),
  reason text,
  started_at timestamptz,
  finished_at timestamptz,
  duration_ms integer,
  exit_code integer,
  output text,
  error text,
  created_at timestamptz not null default now()
);

create unique index if not exists cron_runs_slot_idx
  on public.cron_runs (project_id, job_id, scheduled_for, attempt) where scheduled_for is not null;
create index if not exists cron_runs_project_id_job_id_started_at_idx
  on public.cron_runs (project_id, job_id, started_at desc);
create index if not exists cron_runs_newest_idx
  on public.cron_runs (project_id, (coalesce(started_at, scheduled_for, created_at)) desc);
create index if not exists cron_runs_request_id_idx on public.cron_runs (request_id);
create index if not exists cron_runs_running_idx on public.cron_runs (project_id, agent_id) where status = 'running';

-- Live output, read by `seq > n` while a page is open, pruned an hour after the run.
create table if not exists public.cron_run_logs (
  run_id uuid not null references public.cron_runs (id) on delete cascade,
  seq integer not null,
  at timestamptz not null default now(),
  stream text not null check (stream in ('stdout', 'stderr')),
  text text not null,
  primary key (run_id, seq)
);

-- Who asked what when, and what became of it.
create table if not exists public.cron_audit (
  id bigint generated always as identity primary key,
  project_id text not null,
  at timestamptz not null default now(),
  actor uuid,
  actor_name text,
  action text not null,
  job_id text,
  agent_id text,
  request_id uuid,
  detail jsonb,
  outcome text,
  outcome_at timestamptz
);

create index if not exists cron_audit_project_id_at_idx on public.cron_audit (project_id, at desc);
create index if not exists cron_audit_request_id_idx on public.cron_audit (request_id) where request_id is not null;
