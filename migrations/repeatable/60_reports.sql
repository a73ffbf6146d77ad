-- Reports: what the agents say happened. Sent at least once, counted once, never believed beyond the fence.

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

-- A report as a row of cron_runs, or 22023. `project_id` and `agent_id` are the caller's, whatever the report says.
create or replace function public.cron_read_report(p_project text, p_agent text, p_report jsonb)
returns public.cron_runs
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_run public.cron_runs := jsonb_populate_record(null::public.cron_runs, p_report - 'id' - 'created_at');
begin
  v_run.id := (p_report ->> 'run_id')::uuid;
  v_run.project_id := p_project;
  v_run.agent_id := p_agent;
  v_run.attempt := coalesce(v_run.attempt, 1);
  v_run.output := right(v_run.output, 262144);
  v_run.error := left(v_run.error, 65536);
  v_run.reason := left(v_run.reason, 1000);
  if v_run.id is null or coalesce(v_run.job_id, '') = '' or length(v_run.job_id) > 200 or v_run.trigger is null or v_run.status is null then
    raise exception 'run_id, job_id, trigger and status must be given' using errcode = '22023';
  end if;
  return v_run;
end
$$;

-- Completes the request of a final run; false: fenced, nothing was changed.
-- Rule: only the claim that is running now (`claimed_by`, `claims`) may end it, however late: an expired lease that
-- nobody rescued is still its holder's. `retry_in_s` counts from the server's now; a request whose cancellation was
-- asked for never returns to the queue.
create or replace function public.cron_finish_request(p_run public.cron_runs, p_claims integer, p_retry_in_s double precision, p_result jsonb)
returns boolean
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_old public.cron_run_requests;
  v_again boolean;
  v_reason text;
  v_result jsonb := case when jsonb_typeof(p_result) = 'object' then p_result else '{}' end;
begin
  select r.* into v_old from public.cron_run_requests r
  where r.id = p_run.request_id and r.project_id = p_run.project_id and r.job_id = p_run.job_id
  for no key update;
  if not found or v_old.status <> 'running' or v_old.claimed_by <> p_run.agent_id or v_old.claims is distinct from p_claims then
    return false;
  end if;
  v_again := p_run.status <> 'ok' and p_retry_in_s is not null and v_old.cancel_requested_at is null
    and v_old.attempts < public.cron_max_attempts(v_old.project_id, v_old.job_id, v_old.max_attempts);
  v_reason := case
    when p_run.status = 'ok' then null
    when v_old.cancel_requested_at is not null then 'cancelled'
    else coalesce(p_run.reason, p_run.status)
  end;
  if octet_length(v_result::text) > 1048576 then
    v_result := v_result - 'stdout_tail' - 'stderr_tail';
  end if;
  delete from public.cron_leases l where l.request_id = v_old.id;
  if v_again then
    update public.cron_run_requests r
    set
      status = 'queued', claimed_by = null, picked_up_at = null, last_error = left(coalesce(p_run.error, v_reason), 2000),
      run_at = v_now + make_interval(secs => least(greatest(p_retry_in_s, 0), 604800))
    where r.id = v_old.id;
  else
    update public.cron_run_requests r
    set
      status = case when p_run.status = 'ok' then 'done' else 'error' end,
      completed_at = v_now,
      last_error = case when p_run.status = 'ok' then r.last_error else left(coalesce(p_run.error, v_reason), 2000) end,
      result = jsonb_build_object('exit_code', p_run.exit_code, 'duration_ms', p_run.duration_ms, 'error', p_run.error)
        || v_result
        || jsonb_build_object(
          'ok', p_run.status = 'ok', 'reason', v_reason, 'run_id', p_run.id, 'agent_id', p_run.agent_id, 'attempt', r.attempts
        )
    where r.id = v_old.id;
  end if;
  return true;
end
$$;

-- Whether a report may be written, given the row of its id and the row of its slot: null, or why not.
-- Rules: a run id belongs to one project, agent, job and attempt for ever; no way back from a final state, except from
-- `lost`, which only says that nobody knew; `missed` and `skipped` never replace a run, unless it is the slot of a shared
-- job that this agent has won and hands back, having begun nothing.
create or replace function public.cron_judge_report(p_run public.cron_runs, p_old public.cron_runs, p_slot public.cron_runs)
returns text
language sql immutable
set search_path = ''
as $$
  select case
    when p_old.id is not null and (p_old.project_id, p_old.agent_id, p_old.job_id, p_old.attempt)
      is distinct from (p_run.project_id, p_run.agent_id, p_run.job_id, p_run.attempt) then 'not_yours'
    when p_old.status <> 'running' and p_run.status in ('running', p_old.status) then 'duplicate'
    when p_old.status = 'running' and p_run.status = 'running' then 'duplicate'
    when p_old.status not in ('running', 'lost') then 'final'
    when p_old.id is not null and p_run.status in ('missed', 'skipped')
      and not (p_old.status = 'running' and p_old.request_id is null and p_old.scheduled_for is not null and p_old.attempt = 1) then 'final'
    when p_old.id is null and p_slot.id is not null
      and (p_slot.status not in ('missed', 'skipped') or p_run.status in ('missed', 'skipped')) then 'slot_taken'
  end
$$;

-- One report: judges it, completes its request, writes the run. Returns null (accepted),
-- 'duplicate', or why it was rejected. A fenced result closes its own run and touches nothing else.
-- What stood for an attempt of this agent of which nothing was known gives way to the run.
create or replace function public.cron_report_one(p_project text, p_agent text, p_report jsonb)
returns text
language plpgsql security definer
set search_path = ''
as $$
declare
  v_run public.cron_runs := public.cron_read_report(p_project, p_agent, p_report);
  v_old public.cron_runs;
  v_slot public.cron_runs;
  v_silent uuid;
  v_why text;
  v_fenced boolean;
begin
  select r.* into v_old from public.cron_runs r where r.id = v_run.id for no key update;
  if v_old.id is null and v_run.request_id is not null then
    -- Asked for once, not for every row: a plan made for an empty table may look at them all.
    v_silent := public.cron_silent_attempt(v_run.request_id, v_run.attempt);
    if exists (select 1 from public.cron_runs r where r.id = v_silent) then
      delete from public.cron_runs r
      where r.id = v_silent and r.project_id = p_project
        and r.agent_id = p_agent and r.job_id = v_run.job_id;
    end if;
  end if;
  if v_old.id is null and v_run.scheduled_for is not null then
    select r.* into v_slot from public.cron_runs r
    where r.project_id = p_project and r.job_id = v_run.job_id and r.scheduled_for = v_run.scheduled_for and r.attempt = v_run.attempt
    for update;
  end if;
  v_why := public.cron_judge_report(v_run, v_old, v_slot);
  if v_why is not null then
    return v_why;
  end if;
  v_fenced := v_run.status <> 'running' and v_run.request_id is not null and not public.cron_finish_request(
    v_run, (p_report ->> 'claims')::integer, (p_report ->> 'retry_in_s')::double precision, p_report -> 'result'
  );
  if v_fenced and v_old.status = 'lost' then
    return 'fenced';
  end if;
  if v_slot.id is not null then
    delete from public.cron_runs r where r.id = v_slot.id;
  end if;
  v_run.reason := coalesce(v_run.reason, v_slot.reason, case when v_old.status <> 'lost' then v_old.reason end);
  v_run.started_at := coalesce(v_run.started_at, case when v_run.status not in ('missed', 'skipped') then v_old.started_at end);
  v_run.scheduled_for := coalesce(v_old.scheduled_for, v_run.scheduled_for);
  v_run.created_at := coalesce(v_old.created_at, clock_timestamp());
  insert into public.cron_runs as r select v_run.*
  on conflict (id) do update set
    status = excluded.status, reason = excluded.reason, started_at = excluded.started_at, finished_at = excluded.finished_at,
    duration_ms = excluded.duration_ms, exit_code = excluded.exit_code, output = excluded.output, error = excluded.error,
    trigger = excluded.trigger, request_id = coalesce(r.request_id, excluded.request_id);
  if v_fenced then
    return 'fenced';
  end if;
  return null;
end
$$;

-- A batch of reports, in order. Each has its own subtransaction, so a bad one never spoils the others, and is safe to
-- send again. What is not the report's fault (a deadlock, a full disk) fails the whole call: it will be sent again.
-- Requests, then jobs, are locked in id order before the first is looked at, so that two batches never cross.
create or replace function public.cron_report(p_project text, p_agent text, p_epoch integer, p_reports jsonb)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch);
  v_report jsonb;
  v_why text;
  v_results jsonb := '[]';
  v_accepted uuid[] := '{}';
  v_good text[];
begin
  if v_stale is not null then
    return v_stale;
  elsif jsonb_typeof(p_reports) is distinct from 'array' then
    raise exception 'p_reports must be an array' using errcode = '22023';
  elsif jsonb_array_length(p_reports) > 1000 then
    raise exception 'p_reports has more than 1,000 reports' using errcode = '22023';
  end if;
  perform 1 from public.cron_run_requests r
  where r.project_id = p_project and r.id = any (array(
    select (j ->> 'request_id')::uuid from jsonb_array_elements(p_reports) j
    where j ->> 'request_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
  ))
  order by r.id for no key update;
  perform 1 from public.cron_mirror m
  where m.project_id = p_project and m.job_id in (select j ->> 'job_id' from jsonb_array_elements(p_reports) j)
  order by m.id for no key update;

  for v_report in select j from jsonb_array_elements(p_reports) j loop
    begin
      v_why := public.cron_report_one(p_project, p_agent, v_report);
    exception when others then
      if left(sqlstate, 2) not in ('22', '23', 'P0') then
        raise;
      end if;
      v_why := format('invalid: %s %s', sqlstate, sqlerrm);
    end;
    if v_why is null then
      v_accepted := v_accepted || (v_report ->> 'run_id')::uuid;
    end if;
    v_results := v_results || jsonb_build_object(
      'run_id', v_report -> 'run_id',
      'outcome', case when v_why is null then 'accepted' when v_why = 'duplicate' then 'duplicate' else 'rejected' end,
      'why', nullif(v_why, 'duplicate')
    );
  end loop;
  perform public.cron_note_results(v_accepted);
  v_good := array(select distinct j ->> 'job_id' from jsonb_array_elements(p_reports) j where j ->> 'status' = 'ok');
  if cardinality(v_good) > 0 then
    perform public.cron_raise_recovered(p_project, v_good);
  end if;
  return jsonb_build_object('results', v_results, 'server_time', clock_timestamp());
end
$$;

-- Live output of the agent's own runs. Safe to repeat: a piece that is there stays as it is. Left out: what has no
-- stream or text, seq above 20,000, and what would make a run's output more than 2 MiB (its end comes with the report
-- anyway); an empty piece says that nothing more comes and always fits. `unknown` are runs that this agent has not
-- reported: a start may still be on its way, so their pieces may be sent again.
create or replace function public.cron_append_logs(p_project text, p_agent text, p_epoch integer, p_batches jsonb)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch);
  v_count integer;
  v_given uuid[];
  v_own uuid[];
begin
  if v_stale is not null then
    return v_stale;
  elsif jsonb_typeof(p_batches) is distinct from 'array' then
    raise exception 'p_batches must be an array' using errcode = '22023';
  elsif jsonb_array_length(p_batches) > 1000 then
    raise exception 'p_batches has more than 1,000 pieces' using errcode = '22023';
  end if;
  v_given := array(select distinct (x.value ->> 'run_id')::uuid from jsonb_array_elements(p_batches) x);
  v_own := array(
    select r.id from public.cron_runs r where r.id = any (v_given) and r.project_id = p_project and r.agent_id = p_agent
  );
  insert into public.cron_run_logs (run_id, seq, at, stream, text)
  select g.run_id, g.seq, coalesce(g.at, clock_timestamp()), g.stream, g.text
  from (
    select
      x.run_id, x.seq, x.at, x.stream, left(x.text, 65536) as text,
      sum(octet_length(left(x.text, 65536))) over (partition by x.run_id order by x.seq) as so_far
    from jsonb_to_recordset(p_batches) x (run_id uuid, seq integer, at timestamptz, stream text, text text)
    where x.run_id = any (v_own) and x.seq between 0 and 20000 and x.stream in ('stdout', 'stderr') and x.text is not null
  ) g
  join (
    select o.id, (select coalesce(sum(octet_length(l.text)), 0) from public.cron_run_logs l where l.run_id = o.id) as stored
    from unnest(v_own) o (id)
  ) kept on kept.id = g.run_id
  where g.text = '' or kept.stored + g.so_far <= 2097152
  on conflict do nothing;
  get diagnostics v_count = row_count;
  return jsonb_build_object(
    'appended', v_count, 'server_time', clock_timestamp(),
    'unknown', to_jsonb(array(select u from unnest(v_given) u where u <> all (v_own)))
  );
end
$$;

revoke all on function
  public.cron_read_report(text, text, jsonb), public.cron_finish_request(public.cron_runs, integer, double precision, jsonb),
  public.cron_judge_report(public.cron_runs, public.cron_runs, public.cron_runs), public.cron_report_one(text, text, jsonb),
  public.cron_report(text, text, integer, jsonb), public.cron_append_logs(text, text, integer, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function
  public.cron_report(text, text, integer, jsonb), public.cron_append_logs(text, text, integer, jsonb)
  to anon, authenticated, service_role;
