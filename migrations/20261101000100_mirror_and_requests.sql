-- The two tables that a user's own UI knows. Where they exist they keep their rows and columns; ours are added.
-- The base columns come first and ours by `add column`, so that a fresh database and a migrated one are the same.

create table if not exists public.cron_mirror (
  id uuid primary key default gen_random_uuid(),
  project_id text not null,
  job_id text not null,
  name text not null,
  schedule_kind text,
  schedule_expr text,
  tz text,
  enabled boolean not null default true,
  next_run_at timestamptz,
  last_run_at timestamptz,
  last_status text,
  last_duration_ms integer,
  instructions text,
  updated_at timestamptz not null default now()
);

create table if not exists public.cron_run_requests (
  id uuid primary key default gen_random_uuid(),
  project_id text not null,
  job_id text not null,
  requested_by text,
  requested_at timestamptz not null default now(),
  status text not null default 'queued',
  picked_up_at timestamptz,
  completed_at timestamptz,
  result jsonb
);

alter table public.cron_mirror
  add column if not exists agent_ids text[] not null default '{}',
  add column if not exists placement text not null default 'mine',
  add column if not exists source text,
  add column if not exists description text,
  add column if not exists tags text[],
  add column if not exists accepts jsonb,
  add column if not exists timeout_s double precision,
  add column if not exists overlap text,
  add column if not exists retry jsonb,
  add column if not exists connection_id text,
  add column if not exists consecutive_failures integer not null default 0,
  add column if not exists paused_until timestamptz;

alter table public.cron_run_requests
  add column if not exists payload jsonb,
  add column if not exists run_at timestamptz,
  add column if not exists expires_at timestamptz,
  add column if not exists attempts integer not null default 0,
  add column if not exists max_attempts integer,
  add column if not exists last_error text,
  add column if not exists claimed_by text,
  add column if not exists claims integer not null default 0,
  add column if not exists cancel_requested_at timestamptz,
  add column if not exists dedupe_key text;

-- Rows from before: a press of Run of last month must never fire because an agent moved in today.
update public.cron_run_requests set run_at = requested_at where run_at is null;
update public.cron_run_requests set expires_at = requested_at + interval '24 hours' where expires_at is null;
update public.cron_run_requests
set
  status = 'error',
  completed_at = now(),
  result = jsonb_build_object(
    'ok', false, 'reason', 'lost', 'error', 'was running when Cronmirror was installed; nobody holds it', 'attempt', attempts
  )
where status = 'running' and claimed_by is null;

alter table public.cron_run_requests
  alter column run_at set default now(),
  alter column run_at set not null;

-- One row per job. Duplicates that are already there are the user's: they are named, not dropped, and the
-- constraint comes with the next run of this file after they are gone.
do $$
declare
  v_duplicates text;
begin
  if exists (
    select 1 from pg_index i
    where i.indrelid = 'public.cron_mirror'::regclass and i.indisunique and i.indpred is null
      and (
        select array_agg(a.attname::text order by a.attname) from pg_attribute a
        where a.attrelid = i.indrelid and a.attnum = any (i.indkey::int2[])
      ) = array['job_id', 'project_id']
  ) then
    return;
  end if;
  select string_agg(format('%s/%s', d.project_id, d.job_id), ', ') into v_duplicates
  from (
    select project_id, job_id from public.cron_mirror group by 1, 2 having count(*) > 1 order by 1, 2 limit 20
  ) d;
  if v_duplicates is not null then
    raise warning 'cron_mirror has more than one row for %; nothing was dropped', v_duplicates
      using hint = 'Delete the rows you do not want, then apply the migrations again.';
    return;
  end if;
  alter table public.cron_mirror add constraint cron_mirror_project_id_job_id_key unique (project_id, job_id);
end
$$;

-- `not valid`: rows from before are not judged, every new write is.
do $$
declare
  v_check record;
begin
  for v_check in
    select * from (values
      ('cron_run_requests', 'cron_run_requests_status_check', 'status in (''queued'', ''running'', ''done'', ''error'')'),
      ('cron_run_requests', 'cron_run_requests_payload_check', 'octet_length(payload::text) <= 262144'),
      ('cron_run_requests', 'cron_run_requests_max_attempts_check', 'max_attempts between 1 and 100'),
      ('cron_run_requests', 'cron_run_requests_claim_check', 'status <> ''running'' or claimed_by is not null'),
      ('cron_mirror', 'cron_mirror_placement_check', 'placement in (''mine'', ''any'')')
    ) c (table_name, check_name, expression)
  loop
    if not exists (
      select 1 from pg_constraint
      where conname = v_check.check_name and conrelid = format('public.%I', v_check.table_name)::regclass
    ) then
      execute format(
        'alter table public.%I add constraint %I check (%s) not valid', v_check.table_name, v_check.check_name, v_check.expression
      );
    end if;
  end loop;
end
$$;

create index if not exists cron_run_requests_project_id_requested_at_idx
  on public.cron_run_requests (project_id, requested_at desc);
create index if not exists cron_run_requests_queued_idx
  on public.cron_run_requests (project_id, run_at, requested_at) where status = 'queued';
create index if not exists cron_run_requests_running_idx
  on public.cron_run_requests (project_id) where status = 'running';
create unique index if not exists cron_run_requests_dedupe_idx
  on public.cron_run_requests (project_id, dedupe_key) where dedupe_key is not null and status in ('queued', 'running');

-- A lease is renewed every few seconds and must wake nobody: its own table, never published.
create table if not exists public.cron_leases (
  request_id uuid primary key references public.cron_run_requests (id) on delete cascade,
  agent_id text not null,
  claims integer not null,
  lease_s integer not null,
  expires_at timestamptz not null
);
