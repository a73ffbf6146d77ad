-- What people are told: one row for each change of state.

create table if not exists public.cron_notifications (
  id uuid primary key default gen_random_uuid(),
  project_id text not null,
  type text not null check (type in (
    'integration_warning', 'integration_rate_limit', 'integration_disconnected', 'job_failed', 'job_recovered', 'job_missed',
    'agent_offline', 'agent_online', 'config_error'
  )),
  severity text not null check (severity in ('info', 'warning', 'critical')),
  title text not null check (title <> ''),
  body text not null default '',
  subject text not null check (subject ~ '^(job|connection|agent):.'),
  agent_id text,
  created_at timestamptz not null default now(),
  read_at timestamptz,
  snoozed boolean not null default false,
  dedupe_key text not null check (dedupe_key <> '' and length(dedupe_key) <= 500),
  deliveries jsonb not null default '{}',
  unique (project_id, dedupe_key)
);

create index if not exists cron_notifications_project_id_created_at_idx
  on public.cron_notifications (project_id, created_at desc);
create index if not exists cron_notifications_unread_idx
  on public.cron_notifications (project_id, created_at desc) where read_at is null;

-- Notices that the database itself raised: whichever agent claims one brings it to its channels. Never published.
create table if not exists public.cron_notice_claims (
  notification_id uuid primary key references public.cron_notifications (id) on delete cascade,
  project_id text not null,
  agent_id text,
  expires_at timestamptz not null default now(),
  delivered boolean not null default false
);

create index if not exists cron_notice_claims_open_idx on public.cron_notice_claims (project_id) where not delivered;

-- Subjects that nobody wants to hear of until then. The job itself goes on.
create table if not exists public.cron_snoozes (
  project_id text not null,
  subject text not null check (subject ~ '^(job|connection|agent):.' and length(subject) <= 220),
  until timestamptz not null,
  by text,
  primary key (project_id, subject)
);

-- Since when an agent that said no farewell is known to be silent; null: it is heard. Nobody is told of a silence from
-- before this came.
do $$
begin
  if not exists (
    select 1 from pg_attribute
    where attrelid = 'public.cron_agent_beats'::regclass and attname = 'offline_since' and not attisdropped
  ) then
    alter table public.cron_agent_beats add column offline_since timestamptz;
    update public.cron_agent_beats set offline_since = last_seen_at where last_seen_at < now() - interval '2 minutes';
  end if;
end
$$;
