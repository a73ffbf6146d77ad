-- What retention needs so that a beat can afford it: where it goes on, what it must not forget, and indexes of the few
-- rows it looks for. None of them holds a run that simply ran, so a report pays nothing for them.

alter table public.cron_projects
  add column if not exists prune_job text not null default '',
  add column if not exists pruned_by_cron_at timestamptz;

-- Up to which slot the runs of a shared job were removed. A slot without a row is free for the first agent that claims
-- it; one whose row was pruned must not be.
create table if not exists public.cron_pruned_slots (
  project_id text not null,
  job_id text not null,
  up_to timestamptz not null,
  primary key (project_id, job_id)
);

create index if not exists cron_runs_unstarted_idx
  on public.cron_runs (project_id, job_id, (coalesce(scheduled_for, created_at)) desc) where started_at is null;
create index if not exists cron_runs_long_output_idx
  on public.cron_runs (project_id, finished_at) where status = 'ok' and octet_length(output) > 4096;
create index if not exists cron_run_logs_first_idx on public.cron_run_logs (at) where seq <= 1;
