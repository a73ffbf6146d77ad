-- The mirror: which jobs exist, and who serves them.

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

-- One job of a sync as it would stand in cron_mirror; raises 22023 naming the job where it cannot.
create or replace function public.cron_read_job(p_project text, p_job jsonb)
returns public.cron_mirror
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_job public.cron_mirror;
begin
  begin
    v_job := jsonb_populate_record(null::public.cron_mirror, p_job);
  exception when data_exception then
    raise exception 'job "%": %', left(coalesce(p_job ->> 'job_id', p_job::text), 200), sqlerrm using errcode = '22023';
  end;
  if coalesce(v_job.job_id, '') = '' or length(v_job.job_id) > 200 then
    raise exception 'job_id must be 1 to 200 characters: %', left(p_job::text, 200) using errcode = '22023';
  end if;
  v_job.placement := coalesce(v_job.placement, 'mine');
  if v_job.placement not in ('mine', 'any') then
    raise exception 'job "%": placement must be mine or any', v_job.job_id using errcode = '22023';
  end if;
  if v_job.retry is not null and not coalesce(
    jsonb_typeof(v_job.retry) = 'object'
    and coalesce(v_job.retry ->> 'max_attempts', '1') ~ '^([1-9][0-9]?|100)$'
    and coalesce(jsonb_typeof(v_job.retry -> 'on'), 'array') = 'array'
    and coalesce(jsonb_typeof(v_job.retry -> 'base_s'), 'number') = 'number'
    and coalesce(jsonb_typeof(v_job.retry -> 'cap_s'), 'number') = 'number', false
  ) then
    raise exception 'job "%": retry must be {"max_attempts": 1–100, "on": [text], "base_s": number, "cap_s": number}', v_job.job_id
      using errcode = '22023';
  -- Beyond all bounds they would fail where a request is lost, in a sweep: for every agent of the project.
  elsif (v_job.retry ->> 'base_s')::numeric not between 0 and 604800 or (v_job.retry ->> 'cap_s')::numeric not between 0 and 604800 then
    raise exception 'job "%": retry.base_s and retry.cap_s must be 0 to 604800 (seven days)', v_job.job_id using errcode = '22023';
  end if;
  v_job.project_id := p_project;
  v_job.name := coalesce(v_job.name, v_job.job_id);
  v_job.enabled := coalesce(v_job.enabled, true);
  v_job.instructions := left(v_job.instructions, 65536);
  v_job.description := left(v_job.description, 65536);
  v_job.connection_id := left(v_job.connection_id, 200);
  return v_job;
end
$$;

-- Writes these jobs as this agent's; says how many rows were written and which jobs were refused. Set by set, for a
-- config may have 10,000 jobs. The caller holds the project's mirror lock.
-- Rule: a row without an owner is adopted, a second owner is refused unless both say `placement: any`. An unchanged
-- row is not written: every write wakes every open page.
create or replace function public.cron_write_jobs(
  p_project text, p_agent text, p_jobs public.cron_mirror[], out upserted integer, out refused text[]
)
language plpgsql security definer
set search_path = ''
as $$
declare
  v_new integer;
begin
  refused := array(
    select m.job_id
    from unnest(p_jobs) j
    join public.cron_mirror m on m.project_id = p_project and m.job_id = j.job_id
    where not m.agent_ids <@ array[p_agent] and not (m.placement = 'any' and j.placement = 'any')
  );
  update public.cron_mirror m set agent_ids = array_remove(m.agent_ids, p_agent)
  where m.project_id = p_project and m.job_id = any (refused) and p_agent = any (m.agent_ids);

  update public.cron_mirror m
  set
    agent_ids = case when p_agent = any (m.agent_ids) then m.agent_ids else m.agent_ids || p_agent end,
    placement = j.placement, name = j.name, schedule_kind = j.schedule_kind, schedule_expr = j.schedule_expr, tz = j.tz,
    enabled = j.enabled, next_run_at = j.next_run_at, instructions = j.instructions, source = j.source,
    description = j.description, tags = j.tags, accepts = j.accepts, timeout_s = j.timeout_s, overlap = j.overlap,
    retry = j.retry, connection_id = j.connection_id, updated_at = clock_timestamp()
  from unnest(p_jobs) j
  where m.project_id = p_project and m.job_id = j.job_id and j.job_id <> all (refused) and (
    not p_agent = any (m.agent_ids)
    or (m.placement, m.name, m.schedule_kind, m.schedule_expr, m.tz, m.enabled, m.next_run_at, m.instructions, m.source,
      m.description, m.tags, m.accepts, m.timeout_s, m.overlap, m.retry,
      m.connection_id)
    is distinct from (j.placement, j.name, j.schedule_kind, j.schedule_expr, j.tz, j.enabled, j.next_run_at, j.instructions,
      j.source, j.description, j.tags, j.accepts, j.timeout_s, j.overlap, j.retry, j.connection_id)
  );
  get diagnostics upserted = row_count;

  insert into public.cron_mirror (
    project_id, job_id, agent_ids, placement, name, schedule_kind, schedule_expr, tz, enabled, next_run_at, instructions,
    source, description, tags, accepts, timeout_s, overlap, retry, connection_id, last_run_at, last_status, last_duration_ms
  )
  select
    p_project, j.job_id, array[p_agent], j.placement, j.name, j.schedule_kind, j.schedule_expr, j.tz, j.enabled,
    j.next_run_at, j.instructions, j.source, j.description, j.tags, j.accepts, j.timeout_s, j.overlap, j.retry,
    j.connection_id, u.started_at, case when u.status = 'ok' then 'ok' when u.status is not null then 'error' end, u.duration_ms
  from unnest(p_jobs) j
  left join lateral (
    select r.started_at, r.status, r.duration_ms from public.cron_runs r
    where r.project_id = p_project and r.job_id = j.job_id and r.started_at is not null
      and r.status in ('ok', 'error', 'timeout', 'cancelled', 'lost')
    order by r.started_at desc limit 1
  ) u on true
  where j.job_id not in (select m.job_id from public.cron_mirror m where m.project_id = p_project);
  get diagnostics v_new = row_count;
  upserted := upserted + v_new;
end
$$;

-- Takes the agent's id off its jobs that are not in `p_job_ids`; a row that nobody serves any more goes.
-- Rows that never had an owner are the UI builder's and stay.
create or replace function public.cron_drop_jobs(p_project text, p_agent text, p_job_ids text[])
returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  v_deleted integer;
  v_shared integer;
begin
  delete from public.cron_mirror m
  where m.project_id = p_project and m.agent_ids = array[p_agent] and m.job_id <> all (p_job_ids);
  get diagnostics v_deleted = row_count;
  update public.cron_mirror m set agent_ids = array_remove(m.agent_ids, p_agent), updated_at = clock_timestamp()
  where m.project_id = p_project and p_agent = any (m.agent_ids) and m.job_id <> all (p_job_ids);
  get diagnostics v_shared = row_count;
  return v_deleted + v_shared;
end
$$;

-- The mirror: upserts what changed, drops this agent from what is gone, ignores an older revision (an answer that was
-- lost and came again). One sync per project at a time; rows are locked in id order, like cron_report does.
-- `updated_at` of the stalest rows is touched so that a UI's staleness banner, which reads the newest, stays quiet.
create or replace function public.cron_sync_mirror(
  p_project text, p_agent text, p_epoch integer, p_rev bigint, p_changed jsonb, p_job_ids text[],
  p_last_sync timestamptz default null
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch);
  v_written record;
  v_removed integer := 0;
  v_touched integer;
begin
  if v_stale is not null then
    return v_stale;
  end if;
  if p_rev is null or jsonb_typeof(coalesce(p_changed, '[]')) <> 'array' then
    raise exception 'p_rev must not be null and p_changed must be an array' using errcode = '22023';
  elsif jsonb_array_length(coalesce(p_changed, '[]')) > 10000 or cardinality(p_job_ids) > 10000 then
    raise exception 'more than 10,000 jobs' using errcode = '22023';
  end if;
  update public.cron_agent_beats b set mirror_rev = p_rev
  where b.project_id = p_project and b.agent_id = p_agent and b.mirror_rev < p_rev;
  if not found then
    return jsonb_build_object(
      'upserted', 0, 'removed', 0, 'touched', 0, 'refused', jsonb_build_array(), 'ignored', true, 'server_time', clock_timestamp()
    );
  end if;
  perform pg_advisory_xact_lock(hashtextextended('cronmirror mirror ' || p_project, 0));
  perform 1 from public.cron_mirror m
  where m.project_id = p_project and (p_agent = any (m.agent_ids) or m.job_id in (select j ->> 'job_id' from jsonb_array_elements(p_changed) j))
  order by m.id for no key update;

  v_written := public.cron_write_jobs(p_project, p_agent, array(
    select distinct on (r.job_id) r
    from jsonb_array_elements(coalesce(p_changed, '[]')) j cross join lateral public.cron_read_job(p_project, j) r
    order by r.job_id
  ));
  if p_job_ids is not null then
    v_removed := public.cron_drop_jobs(p_project, p_agent, p_job_ids);
  end if;
  update public.cron_mirror m set updated_at = clock_timestamp()
  where m.id in (
    select o.id from public.cron_mirror o
    where o.project_id = p_project and p_agent = any (o.agent_ids) and o.updated_at < clock_timestamp() - interval '5 minutes'
    order by o.updated_at limit 10
  );
  get diagnostics v_touched = row_count;
  update public.cron_agents a set last_sync_at = least(coalesce(p_last_sync, clock_timestamp()), clock_timestamp())
  where a.project_id = p_project and a.agent_id = p_agent
    and (v_written.upserted + v_removed + v_touched > 0 or a.last_sync_at is null or a.last_sync_at < clock_timestamp() - interval '5 minutes');
  return jsonb_build_object(
    'upserted', v_written.upserted, 'removed', v_removed, 'touched', v_touched, 'ignored', false,
    'refused', (
      select coalesce(jsonb_agg(jsonb_build_object('job_id', m.job_id, 'agent_id', m.agent_ids[1]) order by m.job_id), '[]')
      from public.cron_mirror m where m.project_id = p_project and m.job_id = any (v_written.refused)
    ),
    'server_time', clock_timestamp()
  );
end
$$;

revoke all on function
  public.cron_read_job(text, jsonb), public.cron_write_jobs(text, text, public.cron_mirror[]), public.cron_drop_jobs(text, text, text[]),
  public.cron_sync_mirror(text, text, integer, bigint, jsonb, text[], timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function public.cron_sync_mirror(text, text, integer, bigint, jsonb, text[], timestamptz)
  to anon, authenticated, service_role;
