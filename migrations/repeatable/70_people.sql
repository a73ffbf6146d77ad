-- People: queue, cancel, pause, members, and the two lists that pg_cron's users know.

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

-- A user may have functions of these names already. Another signature lives next to ours; the very same one is his.
do $$
declare
  v_theirs text;
begin
  select string_agg(p.oid::regprocedure::text, ', ') into v_theirs
  from pg_proc p
  where p.oid in (to_regprocedure('public.get_cron_jobs(text, text, integer)'), to_regprocedure('public.get_cron_job_runs(text, integer)'))
    and position('public.cron_authorise(' in p.prosrc) = 0;
  if v_theirs is not null then
    raise exception 'the function % is yours and would be replaced', v_theirs using hint = 'Rename it, then apply the migrations again.';
  end if;
end
$$;

-- Asks for a run. Safe to repeat: the same `p_id`, or a `p_dedupe_key` that is still queued or running, returns the
-- request that is there. `p_max_attempts` may lower the job's number, never raise it. What `agent_ids` says is who
-- serves the job now: nobody is no error, for the mirror may be a minute behind.
create or replace function public.cron_request_run(
  p_project text, p_job_id text, p_payload jsonb default null, p_run_at timestamptz default null,
  p_max_attempts integer default null, p_dedupe_key text default null, p_id uuid default null, p_requested_by text default null
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_row public.cron_run_requests;
  v_existing boolean := false;
begin
  perform public.cron_authorise(p_project, 'operate');
  if p_max_attempts not between 1 and 100 then
    raise exception 'p_max_attempts must be 1 to 100' using errcode = '22023';
  elsif p_dedupe_key = '' or length(p_dedupe_key) > 200 then
    raise exception 'p_dedupe_key must be 1 to 200 characters' using errcode = '22023';
  end if;
  perform public.cron_sweep_project(p_project, null);
  -- More than once: a live duplicate may end between the refused insert and the look.
  for v_attempt in 1..3 loop
    insert into public.cron_run_requests (id, project_id, job_id, payload, run_at, max_attempts, dedupe_key, requested_by)
    values (
      coalesce(p_id, gen_random_uuid()), p_project, p_job_id, nullif(p_payload, 'null'), coalesce(p_run_at, now()), p_max_attempts,
      p_dedupe_key, coalesce(p_requested_by, public.cron_actor_name())
    )
    on conflict do nothing
    returning * into v_row;
    exit when found;
    select r.* into v_row from public.cron_run_requests r
    where r.project_id = p_project and (r.id = p_id or r.dedupe_key = p_dedupe_key and r.status in ('queued', 'running'))
    order by r.id = p_id desc nulls last limit 1;
    v_existing := found;
    exit when v_existing;
  end loop;
  if v_row.id is null then
    raise exception 'p_id % is taken', p_id using errcode = '22023', hint = 'Choose a random uuid for every new request.';
  end if;
  return jsonb_build_object(
    'id', v_row.id, 'status', v_row.status, 'existing', v_existing, 'server_time', clock_timestamp(),
    'agent_ids', coalesce((
      select to_jsonb(m.agent_ids) from public.cron_mirror m where m.project_id = p_project and m.job_id = v_row.job_id limit 1
    ), '[]')
  );
end
$$;

-- Asks for an end. A queued request ends here and now; a running one when its agent obeys (the beat tells it).
create or replace function public.cron_cancel_request(p_project text, p_id uuid)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_row public.cron_run_requests;
begin
  perform public.cron_authorise(p_project, 'operate');
  perform public.cron_sweep_project(p_project, null);
  select r.* into v_row from public.cron_run_requests r where r.project_id = p_project and r.id = p_id for no key update;
  if not found then
    raise exception 'project "%" has no request %', p_project, p_id using errcode = '22023';
  end if;
  if v_row.status in ('queued', 'running') then
    insert into public.cron_audit (project_id, actor, actor_name, action, job_id, request_id)
    values (p_project, auth.uid(), public.cron_actor_name(), 'cancel', v_row.job_id, p_id);
    update public.cron_run_requests r set cancel_requested_at = coalesce(r.cancel_requested_at, clock_timestamp()) where r.id = p_id;
    if v_row.status = 'queued' then
      perform public.cron_end_requests(array[p_id], 'cancelled', 'cancelled before it began');
    end if;
    select r.* into v_row from public.cron_run_requests r where r.id = p_id;
  end if;
  return jsonb_build_object('id', v_row.id, 'status', v_row.status, 'server_time', clock_timestamp());
end
$$;

-- Pauses a project or one of its agents: `all` (no claims either) or `schedule`; `none` resumes.
create or replace function public.cron_set_paused(
  p_project text, p_agent text default null, p_until timestamptz default null, p_mode text default 'all'
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_mode text := nullif(p_mode, 'none');
  v_until timestamptz := case when p_mode <> 'none' then p_until end;
begin
  perform public.cron_authorise(p_project, 'operate');
  if p_mode is null or p_mode not in ('all', 'schedule', 'none') then
    raise exception 'p_mode must be all, schedule or none' using errcode = '22023';
  elsif v_until <= clock_timestamp() or v_until = 'infinity' then
    raise exception 'p_until must lie ahead; leave it out to pause until resumed' using errcode = '22023';
  end if;
  if p_agent is null then
    insert into public.cron_projects as p (project_id, paused_mode, paused_until) values (p_project, v_mode, v_until)
    on conflict (project_id) do update set paused_mode = excluded.paused_mode, paused_until = excluded.paused_until;
  else
    update public.cron_agents a set paused_mode = v_mode, paused_until = v_until
    where a.project_id = p_project and a.agent_id = p_agent;
    if not found then
      raise exception 'project "%" has no agent "%"', p_project, p_agent using errcode = '22023';
    end if;
  end if;
  insert into public.cron_audit (project_id, actor, actor_name, action, agent_id, detail)
  values (
    p_project, auth.uid(), public.cron_actor_name(), case when v_mode is null then 'resume' else 'pause' end, p_agent,
    jsonb_strip_nulls(jsonb_build_object('mode', v_mode, 'until', v_until))
  );
  return jsonb_build_object(
    'paused', case when v_mode is not null then jsonb_build_object('mode', v_mode, 'until', v_until) end,
    'server_time', clock_timestamp()
  );
end
$$;

-- Gives a person or an agent's user a role in the project, or (role null) takes it away. Admins; the first member comes
-- from the SQL editor or with the service key, which also create the project. open_access never reaches here.
create or replace function public.cron_set_member(p_project text, p_user_id uuid, p_role text, p_agent_id text default null)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_caller text := public.cron_authorise(p_project, 'admin');
begin
  if p_user_id is null then
    raise exception 'p_user_id must not be null' using errcode = '22023';
  elsif p_role not in ('viewer', 'operator', 'admin', 'agent') then
    raise exception 'p_role must be viewer, operator, admin, agent, or null to remove' using errcode = '22023';
  elsif p_agent_id is not null and p_role is distinct from 'agent' then
    raise exception 'p_agent_id goes with role agent only' using errcode = '22023';
  end if;
  if v_caller = 'service' then
    insert into public.cron_projects (project_id) values (p_project) on conflict do nothing;
  end if;
  if p_role is null then
    delete from public.cron_project_members m where m.project_id = p_project and m.user_id = p_user_id;
  else
    insert into public.cron_project_members as m (project_id, user_id, role, agent_id)
    values (p_project, p_user_id, p_role, p_agent_id)
    on conflict (project_id, user_id) do update set
      role = excluded.role,
      agent_id = case when excluded.role = 'agent' then coalesce(excluded.agent_id, m.agent_id) end;
  end if;
  insert into public.cron_audit (project_id, actor, actor_name, action, agent_id, detail)
  values (
    p_project, auth.uid(), public.cron_actor_name(), 'set_member', p_agent_id,
    jsonb_build_object('user_id', p_user_id, 'role', p_role)
  );
  return jsonb_build_object('user_id', p_user_id, 'role', p_role, 'server_time', clock_timestamp());
exception when unique_violation then
  raise exception 'agent "%" belongs to another member of project "%"', p_agent_id, p_project using errcode = '22023';
end
$$;

-- A page of jobs as one jsonb value, because PostgREST silently cuts rows at 1,000. The first five keys are those that
-- pages written for pg_cron read.
create or replace function public.get_cron_jobs(p_project text, p_after text default null, p_limit integer default 1000)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_limit integer := least(greatest(coalesce(p_limit, 1000), 1), 1000);
  v_jobs jsonb;
begin
  perform public.cron_authorise(p_project, 'read');
  select coalesce(jsonb_agg(to_jsonb(j) || jsonb_build_object(
    'jobid', j.job_id, 'jobname', j.name, 'schedule', j.schedule_expr, 'command', j.instructions, 'active', j.enabled
  ) order by j.job_id), '[]')
  into v_jobs
  from (
    select m.* from public.cron_mirror m
    where m.project_id = p_project and (p_after is null or m.job_id > p_after)
    order by m.job_id limit v_limit
  ) j;
  return jsonb_build_object(
    'jobs', v_jobs, 'next', case when jsonb_array_length(v_jobs) = v_limit and exists (
      select 1 from public.cron_mirror m where m.project_id = p_project and m.job_id > (v_jobs -> -1 ->> 'job_id')
    ) then v_jobs -> -1 -> 'job_id' end
  );
end
$$;

-- The newest runs of a project as one jsonb array, with the keys that pages written for pg_cron read.
create or replace function public.get_cron_job_runs(p_project text, limit_count integer default 50)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
begin
  perform public.cron_authorise(p_project, 'read');
  return (
    select coalesce(jsonb_agg(to_jsonb(u) || jsonb_build_object(
      'runid', u.id, 'jobid', u.job_id, 'return_message', coalesce(u.error, right(u.output, 1000)),
      'start_time', u.started_at, 'end_time', u.finished_at,
      'jobname', coalesce(
        (select m.name from public.cron_mirror m where m.project_id = p_project and m.job_id = u.job_id limit 1), u.job_id
      )
    ) order by coalesce(u.started_at, u.scheduled_for, u.created_at) desc), '[]')
    from (
      select r.* from public.cron_runs r where r.project_id = p_project
      order by coalesce(r.started_at, r.scheduled_for, r.created_at) desc
      limit least(greatest(coalesce(limit_count, 50), 1), 1000)
    ) u
  );
end
$$;

-- How much a project keeps, by table, for the page that shows agents: counted by index, up to 100,000 rows each. What
-- the tables take on disk is everybody's of this database, so admins alone are told.
create or replace function public.cron_table_sizes(p_project text)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_role text := public.cron_authorise(p_project, 'read');
  v_tables jsonb;
begin
  select jsonb_object_agg(t.name, jsonb_build_object('rows', t.counted) || case when v_role in ('admin', 'service')
    then jsonb_build_object('bytes', pg_total_relation_size(format('public.%I', t.name)::regclass)) else '{}' end)
  into v_tables
  from (
    select 'cron_mirror' as name, count(*) as counted
    from (select 1 from public.cron_mirror where project_id = p_project limit 100000) c
    union all
    select 'cron_run_requests', count(*)
    from (select 1 from public.cron_run_requests where project_id = p_project limit 100000) c
    union all
    select 'cron_runs', count(*)
    from (select 1 from public.cron_runs where project_id = p_project limit 100000) c
  ) t;
  return jsonb_build_object('tables', v_tables, 'server_time', clock_timestamp());
end
$$;

revoke all on function
  public.cron_request_run(text, text, jsonb, timestamptz, integer, text, uuid, text), public.cron_cancel_request(text, uuid),
  public.cron_set_paused(text, text, timestamptz, text), public.cron_set_member(text, uuid, text, text),
  public.get_cron_jobs(text, text, integer), public.get_cron_job_runs(text, integer), public.cron_table_sizes(text)
  from public, anon, authenticated, service_role;
grant execute on function
  public.cron_request_run(text, text, jsonb, timestamptz, integer, text, uuid, text), public.cron_cancel_request(text, uuid),
  public.cron_set_paused(text, text, timestamptz, text), public.get_cron_jobs(text, text, integer),
  public.get_cron_job_runs(text, integer), public.cron_table_sizes(text)
  to anon, authenticated, service_role;
grant execute on function public.cron_set_member(text, uuid, text, text) to authenticated, service_role;
