-- The dashboard: what a plain select can't give at once. History in the order in which things happened (PostgREST can't
-- order by an expression), and the last runs of many jobs in one call.

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

-- A run as a line of a list: without its output, and with `at`, when it took place or should have.
create or replace function public.cron_run_line(p_run public.cron_runs)
returns jsonb
language sql stable
set search_path = ''
as $$
  select to_jsonb(p_run) - 'output' || jsonb_build_object(
    'error', left(p_run.error, 2000), 'at', coalesce(p_run.started_at, p_run.scheduled_for, p_run.created_at)
  )
$$;

-- A page of the history, newest first. `p_before` is the `next` of the page before. Null filters nothing.
create or replace function public.cron_list_runs(
  p_project text, p_job_id text default null, p_agent text default null, p_statuses text[] default null,
  p_triggers text[] default null, p_since timestamptz default null, p_until timestamptz default null,
  p_before jsonb default null, p_limit integer default 50
)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_limit integer := least(greatest(coalesce(p_limit, 50), 1), 1000);
  v_at timestamptz := coalesce((p_before ->> 'at')::timestamptz, 'infinity');
  v_id uuid := coalesce((p_before ->> 'id')::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  v_runs jsonb;
  v_last jsonb;
begin
  perform public.cron_authorise(p_project, 'read');
  select coalesce(jsonb_agg(public.cron_run_line(u) order by coalesce(u.started_at, u.scheduled_for, u.created_at) desc, u.id desc), '[]')
  into v_runs
  from (
    select r.* from public.cron_runs r
    where r.project_id = p_project
      and (p_job_id is null or r.job_id = p_job_id)
      and (p_agent is null or r.agent_id = p_agent)
      and (p_statuses is null or r.status = any (p_statuses))
      and (p_triggers is null or r.trigger = any (p_triggers))
      and (p_since is null or coalesce(r.started_at, r.scheduled_for, r.created_at) >= p_since)
      and (p_until is null or coalesce(r.started_at, r.scheduled_for, r.created_at) < p_until)
      and coalesce(r.started_at, r.scheduled_for, r.created_at) <= v_at
      and (coalesce(r.started_at, r.scheduled_for, r.created_at), r.id) < (v_at, v_id)
    order by coalesce(r.started_at, r.scheduled_for, r.created_at) desc, r.id desc
    limit v_limit
  ) u;
  v_last := v_runs -> -1;
  return jsonb_build_object(
    'runs', v_runs,
    'next', case when jsonb_array_length(v_runs) = v_limit then jsonb_build_object('at', v_last -> 'at', 'id', v_last -> 'id') end
  );
end
$$;

-- The newest `p_each` runs of each of these jobs (≤ 200 jobs, ≤ 50 each), newest first. What did not happen (missed,
-- skipped) has no start and an index of its own: the newest of both are merged.
create or replace function public.cron_recent_runs(p_project text, p_job_ids text[], p_each integer default 20)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_each integer := least(greatest(coalesce(p_each, 20), 1), 50);
begin
  perform public.cron_authorise(p_project, 'read');
  if cardinality(p_job_ids) > 200 then
    raise exception 'p_job_ids has more than 200 jobs' using errcode = '22023', hint = 'Ask for them in several calls.';
  end if;
  return jsonb_build_object('runs', coalesce((
    select jsonb_agg(jsonb_build_object(
      'id', u.id, 'job_id', u.job_id, 'status', u.status, 'reason', u.reason, 'trigger', u.trigger, 'at', u.at,
      'duration_ms', u.duration_ms
    ) order by u.job_id, u.at desc)
    from (select distinct j.job_id from unnest(p_job_ids) j (job_id) where j.job_id is not null) asked
    cross join lateral (
      select b.* from (
        (
          select r.id, r.job_id, r.status, r.reason, r.trigger, r.duration_ms, r.started_at as at
          from public.cron_runs r
          where r.project_id = p_project and r.job_id = asked.job_id and r.started_at is not null
          order by r.started_at desc limit v_each
        )
        union all
        (
          select r.id, r.job_id, r.status, r.reason, r.trigger, r.duration_ms, coalesce(r.scheduled_for, r.created_at)
          from public.cron_runs r
          where r.project_id = p_project and r.job_id = asked.job_id and r.started_at is null
          order by coalesce(r.scheduled_for, r.created_at) desc limit v_each
        )
      ) b
      order by b.at desc limit v_each
    ) u
  ), '[]'));
end
$$;

revoke all on function
  public.cron_run_line(public.cron_runs),
  public.cron_list_runs(text, text, text, text[], text[], timestamptz, timestamptz, jsonb, integer),
  public.cron_recent_runs(text, text[], integer)
  from public, anon, authenticated, service_role;
grant execute on function
  public.cron_list_runs(text, text, text, text[], text[], timestamptz, timestamptz, jsonb, integer),
  public.cron_recent_runs(text, text[], integer)
  to anon, authenticated, service_role;
