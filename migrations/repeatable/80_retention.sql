-- Retention: on by default, so that a small project stays small without anybody's care.

do $$
begin
  if to_regprocedure('public.cron_schema_version()') is not null then
    if public.cron_schema_version() > 1 then
      raise exception 'this database has a newer Cronmirror schema (version %) than these files (version 1)', public.cron_schema_version()
        using hint = 'Upgrade cronmirror and run its migrations instead.';
    end if;
  end if;
end
$$;

-- What retention would remove of a project: finished runs, finished requests and audit older than `p_days`, and, where
-- `p_keep` is given, runs beyond the newest `p_keep` of their job.
create or replace function public.cron_stale(p_project text, p_days integer, p_keep integer)
returns table (kind text, id text)
language sql stable security definer
set search_path = ''
as $$
  select 'run', r.id::text
  from (
    select
      u.id, u.status, coalesce(u.finished_at, u.started_at, u.created_at) as at,
      row_number() over (partition by u.job_id order by coalesce(u.started_at, u.scheduled_for, u.created_at) desc) as place
    from public.cron_runs u where u.project_id = p_project
  ) r
  where r.status <> 'running' and (r.at < now() - make_interval(days => p_days) or r.place > p_keep)
  union all
  select 'request', q.id::text
  from public.cron_run_requests q
  where q.project_id = p_project and q.status in ('done', 'error')
    and coalesce(q.completed_at, q.requested_at) < now() - make_interval(days => p_days)
  union all
  select 'audit', a.id::text
  from public.cron_audit a
  where a.project_id = p_project and a.at < now() - make_interval(days => p_days)
$$;

-- Removes at most `p_limit` stale rows (deletes on published tables go to every page) and the live output of runs that
-- ended an hour ago; cuts the output of `ok` runs to 4 KiB after a day. Returns how many rows were deleted and are left.
create or replace function public.cron_prune_project(
  p_project text, p_days integer, p_keep integer, p_limit integer, out deleted integer, out remaining integer
)
language plpgsql security definer
set search_path = ''
as $$
declare
  v_all integer;
  v_runs uuid[];
  v_requests uuid[];
  v_audit bigint[];
begin
  with stale as materialized (select * from public.cron_stale(p_project, p_days, p_keep)),
  chosen as (select * from stale limit p_limit)
  select
    (select count(*) from stale),
    coalesce(array_agg(c.id::uuid) filter (where c.kind = 'run'), '{}'),
    coalesce(array_agg(c.id::uuid) filter (where c.kind = 'request'), '{}'),
    coalesce(array_agg(c.id::bigint) filter (where c.kind = 'audit'), '{}')
  into v_all, v_runs, v_requests, v_audit
  from chosen c;
  delete from public.cron_runs r where r.id = any (v_runs);
  delete from public.cron_run_requests r where r.id = any (v_requests);
  delete from public.cron_audit a where a.id = any (v_audit);
  deleted := cardinality(v_runs) + cardinality(v_requests) + cardinality(v_audit);
  remaining := v_all - deleted;

  delete from public.cron_run_logs l using public.cron_runs r
  where r.id = l.run_id and r.project_id = p_project and r.status <> 'running' and r.finished_at < now() - interval '1 hour';
  update public.cron_runs u set output = right(u.output, 4096)
  where u.id in (
    select r.id from public.cron_runs r
    where r.project_id = p_project and r.status = 'ok' and r.finished_at < now() - interval '1 day' and length(r.output) > 4096
    limit p_limit
  );
end
$$;

-- Default retention, called by every beat: 14 days or 200 runs of a job, at most 500 rows an hour and project.
create or replace function public.cron_prune_hourly(p_project text)
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  perform 1 from public.cron_projects p
  where p.project_id = p_project and (p.pruned_at is null or p.pruned_at < clock_timestamp() - interval '1 hour')
  for no key update skip locked;
  if found then
    update public.cron_projects p set pruned_at = clock_timestamp() where p.project_id = p_project;
    perform public.cron_prune_project(p_project, 14, 200, 500);
  end if;
end
$$;

-- For admins who want less: at most 1,000 rows a call; ask again while `left` is not 0.
create or replace function public.cron_prune(p_project text, p_days integer)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_done record;
begin
  perform public.cron_authorise(p_project, 'admin');
  if p_days is null or p_days not between 1 and 36500 then
    raise exception 'p_days must be at least 1' using errcode = '22023';
  end if;
  v_done := public.cron_prune_project(p_project, p_days, null, 1000);
  insert into public.cron_audit (project_id, actor, actor_name, action, detail)
  values (
    p_project, auth.uid(), public.cron_actor_name(), 'prune', jsonb_build_object('days', p_days, 'deleted', v_done.deleted)
  );
  return jsonb_build_object('deleted', v_done.deleted, 'left', v_done.remaining, 'server_time', clock_timestamp());
end
$$;

revoke all on function
  public.cron_stale(text, integer, integer), public.cron_prune_project(text, integer, integer, integer),
  public.cron_prune_hourly(text), public.cron_prune(text, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.cron_prune(text, integer) to authenticated, service_role;
