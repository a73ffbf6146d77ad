-- What an AI page builder made: two tables, a page without sign-in, policies open to everybody, rows of some months.
create table public.cron_mirror (
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
  updated_at timestamptz not null default now(),
  unique (project_id, job_id)
);

create table public.cron_run_requests (
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

create index on public.cron_run_requests (project_id, requested_at desc);

grant all on public.cron_mirror, public.cron_run_requests to anon, authenticated, service_role;
alter table public.cron_mirror enable row level security;
alter table public.cron_run_requests enable row level security;
create policy "Anyone can read jobs" on public.cron_mirror for all using (true) with check (true);
create policy "Anyone can read requests" on public.cron_run_requests for select using (true);
create policy "Anyone can request" on public.cron_run_requests for insert with check (true);
create policy "Anyone can update" on public.cron_run_requests for update using (true);
alter publication supabase_realtime add table public.cron_mirror, public.cron_run_requests;

-- Such databases have an `agents` table and pg_cron look-alikes of their own.
create table public.agents (id bigint primary key, label text);
insert into public.agents values (1, 'a chat agent, not ours');
create function public.get_cron_jobs() returns table (jobid bigint, jobname text) language sql as $$ select 1::bigint, 'theirs' $$;

insert into public.cron_mirror (project_id, job_id, name, schedule_kind, schedule_expr, last_status) values
  ('home-lab', 'nightly-backup', 'Nightly backup', 'cron', '0 3 * * *', 'ok'),
  ('home-lab', 'old-job', 'A job that is no more', 'every', '60000', null);
insert into public.cron_run_requests (project_id, job_id, requested_by, requested_at, status) values
  ('home-lab', 'nightly-backup', 'ui', now() - interval '90 days', 'queued'),
  ('home-lab', 'nightly-backup', 'ui', now() - interval '80 days', 'running'),
  ('home-lab', 'nightly-backup', 'ui', now() - interval '1 hour', 'queued'),
  ('side-project', 'report', 'ui', now() - interval '90 days', 'done');
