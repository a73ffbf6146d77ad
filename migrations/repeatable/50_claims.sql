-- Claims: how a queued request, or a slot of a shared job, comes to exactly one agent.

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

-- The one claim path: `for update skip locked` inside one call, oldest first, at most `p_limit` (the free slots).
-- The agent commits `p_seq` before it asks and repeats it until it is answered. So the same number again is an answer
-- that was lost and returns the rows of that claim that are still ours; a lower one is a straggler and gets none.
-- Only jobs whose mirror row names this agent. Nobody's own expired lease is rescued here: the beat does that first.
create or replace function public.cron_claim_requests(
  p_project text, p_agent text, p_epoch integer, p_seq bigint, p_job_ids text[], p_limit integer, p_lease_s integer default 60
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch);
  v_lease integer := least(greatest(coalesce(p_lease_s, 60), 30), 300);
  v_paused boolean := coalesce(public.cron_pause_of(p_project, p_agent) ->> 'mode' = 'all', false);
  v_seq bigint;
  v_ids uuid[];
  v_due record;
begin
  if v_stale is not null then
    return v_stale;
  elsif p_seq is null or p_seq < 1 then
    raise exception 'p_seq must be at least 1' using errcode = '22023';
  elsif p_limit is null or p_limit < 0 then
    raise exception 'p_limit must not be negative' using errcode = '22023';
  end if;
  perform public.cron_sweep_project(p_project, p_agent);
  select b.claim_seq, b.claim_ids into v_seq, v_ids
  from public.cron_agent_beats b where b.project_id = p_project and b.agent_id = p_agent;
  if p_seq > v_seq then
    v_ids := case when v_paused then '{}' else public.cron_claim_due(
      p_project, p_agent, public.cron_served(p_project, p_agent, p_job_ids), least(p_limit, 1000), v_lease
    ) end;
    update public.cron_agent_beats b set claim_seq = p_seq, claim_ids = v_ids
    where b.project_id = p_project and b.agent_id = p_agent;
    v_seq := p_seq;
  elsif p_seq < v_seq then
    v_ids := '{}';
  end if;
  v_due := public.cron_due(p_project, p_agent, case when v_paused then '{}' else p_job_ids end);
  return jsonb_build_object(
    'rows', public.cron_claimed_rows(p_project, p_agent, v_ids), 'due', v_due.due, 'next_due_at', v_due.next_due_at,
    'seq', v_seq, 'server_time', clock_timestamp()
  );
end
$$;

-- Takes up to `p_limit` due requests for this agent, with a lease each; returns their ids.
-- `claims` only grows: together with `claimed_by` it is the fence that a late result of an older claim runs into.
create or replace function public.cron_claim_due(p_project text, p_agent text, p_jobs text[], p_limit integer, p_lease_s integer)
returns uuid[]
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_ids uuid[];
begin
  with due as materialized (
    select r.id from public.cron_run_requests r
    where r.project_id = p_project and r.status = 'queued' and r.run_at <= v_now and r.expires_at > v_now
      and r.cancel_requested_at is null and r.job_id = any (p_jobs)
    order by r.run_at, r.requested_at
    limit p_limit
    for update skip locked
  ), claimed as (
    update public.cron_run_requests r
    set status = 'running', claimed_by = p_agent, claims = r.claims + 1, attempts = r.attempts + 1, picked_up_at = v_now
    from due where r.id = due.id
    returning r.id, r.claims
  ), leased as (
    insert into public.cron_leases as l (request_id, agent_id, claims, lease_s, expires_at)
    select c.id, p_agent, c.claims, p_lease_s, v_now + make_interval(secs => p_lease_s) from claimed c
    on conflict (request_id) do update set
      agent_id = excluded.agent_id, claims = excluded.claims, lease_s = excluded.lease_s, expires_at = excluded.expires_at
  )
  select coalesce(array_agg(c.id), '{}') into v_ids from claimed c;
  return v_ids;
end
$$;

-- Those of these requests that this agent still holds, as the answer of a claim.
create or replace function public.cron_claimed_rows(p_project text, p_agent text, p_ids uuid[])
returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', r.id, 'job_id', r.job_id, 'payload', r.payload, 'requested_by', r.requested_by, 'requested_at', r.requested_at,
    'run_at', r.run_at, 'attempts', r.attempts, 'max_attempts', public.cron_max_attempts(p_project, r.job_id, r.max_attempts),
    'claims', r.claims
  ) order by r.run_at, r.requested_at), '[]')
  from public.cron_run_requests r
  where r.id = any (p_ids) and r.project_id = p_project and r.status = 'running' and r.claimed_by = p_agent
$$;

-- Who runs this slot of a shared job: the first to insert its `running` row. No leader: the unique index decides.
-- Asking again with the same `p_run_id` has won again, as long as nobody has closed that row. A slot that was only
-- `missed` is taken over, its cause kept, and so is one that another agent passed over (`skipped`).
-- A slot whose row retention may have removed is nobody's: it was run.
create or replace function public.cron_claim_slot(
  p_project text, p_agent text, p_epoch integer, p_job_id text, p_scheduled_for timestamptz, p_run_id uuid
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch);
  v_row public.cron_runs;
  v_cause text;
begin
  if v_stale is not null then
    return v_stale;
  elsif p_run_id is null or p_scheduled_for is null or not isfinite(p_scheduled_for) then
    raise exception 'p_run_id and p_scheduled_for must be given' using errcode = '22023';
  elsif cardinality(public.cron_served(p_project, p_agent, array[p_job_id])) = 0 then
    raise exception 'the mirror does not say that agent "%" serves job "%": sync first', p_agent, p_job_id using errcode = '55000';
  elsif exists (
    select 1 from public.cron_runs r
    where r.id = p_run_id and (r.project_id, r.agent_id, r.job_id, r.scheduled_for, r.attempt)
      is distinct from (p_project, p_agent, p_job_id, p_scheduled_for, 1)
  ) then
    raise exception 'p_run_id % is another run', p_run_id using errcode = '22023';
  elsif exists (
    select 1 from public.cron_pruned_slots s
    where s.project_id = p_project and s.job_id = p_job_id and s.up_to >= p_scheduled_for
  ) and not exists (
    select 1 from public.cron_runs r
    where r.project_id = p_project and r.job_id = p_job_id and r.scheduled_for = p_scheduled_for and r.attempt = 1
  ) then
    return jsonb_build_object('won', false, 'agent_id', null, 'server_time', clock_timestamp());
  end if;
  delete from public.cron_runs r
  where r.project_id = p_project and r.job_id = p_job_id and r.scheduled_for = p_scheduled_for and r.attempt = 1
    and r.status in ('missed', 'skipped') and r.id <> p_run_id
  returning case when r.status = 'missed' then r.reason end into v_cause;
  insert into public.cron_runs (id, project_id, job_id, agent_id, trigger, scheduled_for, attempt, status, reason, started_at)
  values (
    p_run_id, p_project, p_job_id, p_agent, case when v_cause is null then 'schedule' else 'catch_up' end, p_scheduled_for, 1,
    'running', v_cause, clock_timestamp()
  )
  on conflict do nothing;
  select r.* into v_row from public.cron_runs r
  where r.project_id = p_project and r.job_id = p_job_id and r.scheduled_for = p_scheduled_for and r.attempt = 1;
  return jsonb_build_object(
    'won', coalesce(v_row.id = p_run_id and v_row.status = 'running', false), 'agent_id', v_row.agent_id, 'server_time', clock_timestamp()
  );
end
$$;

revoke all on function
  public.cron_claim_requests(text, text, integer, bigint, text[], integer, integer),
  public.cron_claim_due(text, text, text[], integer, integer), public.cron_claimed_rows(text, text, uuid[]),
  public.cron_claim_slot(text, text, integer, text, timestamptz, uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.cron_claim_requests(text, text, integer, bigint, text[], integer, integer),
  public.cron_claim_slot(text, text, integer, text, timestamptz, uuid)
  to anon, authenticated, service_role;
