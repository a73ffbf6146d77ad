-- A project with 100 jobs and 100,000 finished runs in 15 days, every tenth of them with a request and every fiftieth
-- with more output than is kept after a day.
insert into public.cron_projects (project_id) values ('bench');

insert into public.cron_run_requests (id, project_id, job_id)
select md5('request ' || n)::uuid, 'bench', 'job-' || (n % 100) from generate_series(10, 100000, 10) n;

alter table public.cron_run_requests disable trigger user;
update public.cron_run_requests r
set requested_at = s.at, run_at = s.at, completed_at = s.at, expires_at = s.at, status = 'done'
from (
  select md5('request ' || n)::uuid as id, now() - n * interval '13 seconds' as at from generate_series(10, 100000, 10) n
) s
where r.id = s.id;
alter table public.cron_run_requests enable trigger user;

insert into public.cron_runs (
  id, project_id, job_id, agent_id, request_id, trigger, attempt, status, started_at, finished_at, duration_ms, output, created_at
)
select
  gen_random_uuid(), 'bench', 'job-' || (n % 100), 'mac-mini', case when n % 10 = 0 then md5('request ' || n)::uuid end,
  case when n % 10 = 0 then 'request' else 'schedule' end, 1, 'ok', now() - n * interval '13 seconds',
  now() - n * interval '13 seconds', 0, repeat('x', case when n % 50 = 0 then 20000 else 40 end), now() - n * interval '13 seconds'
from generate_series(1, 100000) n;

analyze public.cron_runs, public.cron_run_requests, public.cron_audit;
