-- Requests: how a row begins, how it ends without its agent, and the sweep that sees to it.

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

drop function if exists public.cron_note_result(public.cron_runs);
drop function if exists public.cron_rescuable(text, text, timestamptz);
drop function if exists public.cron_sweep_project(text, text);

-- The name of the caller for `requested_by` and the audit: e-mail, else user id, else role.
create or replace function public.cron_actor_name()
returns text
language sql stable security definer
set search_path = ''
as $$
  select left(coalesce(nullif(auth.jwt() ->> 'email', ''), auth.uid()::text, nullif(auth.role(), ''), session_user::text), 200)
$$;

-- How much people may queue: 1,000 waiting requests of a project, so that a forgotten loop in somebody's page does not
-- bury what others asked for. Whoever is beyond projects (service key, SQL editor, pg_cron) may queue more. A call that is
-- repeated because its answer was lost adds nothing and is not refused.
create or replace function public.cron_check_quota(p_new public.cron_run_requests)
returns void
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if public.cron_is_trusted() or (
    select count(*) from (
      select 1 from public.cron_run_requests r where r.project_id = p_new.project_id and r.status = 'queued' limit 1000
    ) w
  ) < 1000 or exists (
    select 1 from public.cron_run_requests r
    where r.project_id = p_new.project_id
      and (r.id = p_new.id or r.dedupe_key = p_new.dedupe_key and r.status in ('queued', 'running'))
  ) then
    return;
  end if;
  raise exception 'project "%" has 1,000 requests waiting already: cancel some, or ask again when its agents have caught up',
    p_new.project_id using errcode = 'PT429';
end
$$;

-- A request begins queued, now, unclaimed and with an end; everything else about it is written by the server.
-- Rule: `expires_at` = greatest(run_at, now) + 24 h, which a caller may only shorten. A forged beginning (`done`,
-- `claimed_by` …) is refused with the reason, for every caller: there is no honest use of it. So is a payload that
-- Postgres can hold and a JSON reader cannot (a number of thousands of digits, thousands of brackets): the agent that
-- claims it could read nothing of the answer.
create or replace function public.cron_begin_request()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_name text := public.cron_actor_name();
begin
  if new.status is distinct from 'queued' then
    raise exception 'a request begins with status "queued", not "%"', new.status using errcode = '22023',
      hint = 'Leave status out, or insert "queued".';
  end if;
  if new.claimed_by is not null or new.claims <> 0 or new.attempts <> 0 or new.picked_up_at is not null
    or new.completed_at is not null or new.result is not null or new.last_error is not null or new.cancel_requested_at is not null then
    raise exception 'claimed_by, claims, attempts, picked_up_at, completed_at, result, last_error and cancel_requested_at are written by the server'
      using errcode = '22023', hint = 'Leave them out of the insert.';
  end if;
  if coalesce(new.job_id, '') = '' or length(new.job_id) > 200 or coalesce(new.project_id, '') = '' or length(new.project_id) > 200 then
    raise exception 'project_id and job_id must be 1 to 200 characters' using errcode = '22023';
  elsif new.job_id ~ '[[:cntrl:]]' then
    raise exception 'job_id contains a line break or another control character' using errcode = '22023';
  end if;
  if octet_length(new.payload::text) > 262144 then
    raise exception 'the payload is % bytes; the limit is 262144 (256 KiB)', octet_length(new.payload::text)
      using errcode = '22023', hint = 'Store the data elsewhere and send its address.';
  elsif jsonb_path_exists(new.payload, 'strict $.**{101}') then
    raise exception 'the payload is nested deeper than 100 levels' using errcode = '22023';
  elsif jsonb_path_exists(new.payload, 'strict $.** ? (@.type() == "number" && (@ > 1e300 || @ < -1e300))') then
    raise exception 'the payload has a number beyond 1e300' using errcode = '22023', hint = 'Send it as a text.';
  end if;
  if new.run_at = 'infinity' or new.run_at > v_now + interval '366 days' then
    raise exception 'run_at lies more than a year ahead' using errcode = '22023';
  end if;
  new.requested_at := v_now;
  new.run_at := greatest(new.run_at, v_now);
  new.expires_at := least(new.expires_at, new.run_at + interval '24 hours');
  new.requested_by := left(regexp_replace(new.requested_by, '[[:cntrl:]]+', ' ', 'g'), 200);
  if auth.uid() is not null and (new.requested_by is null or new.requested_by like '%@%') then
    new.requested_by := v_name;
  end if;
  perform public.cron_check_quota(new);
  return new;
end
$$;

create or replace trigger cronmirror_begin before insert on public.cron_run_requests
  for each row execute function public.cron_begin_request();

-- The audit of requests: one row when it is asked, completed when it has ended, whoever asked and however.
create or replace function public.cron_audit_request()
returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    insert into public.cron_audit (project_id, actor, actor_name, action, job_id, request_id)
    values (new.project_id, auth.uid(), public.cron_actor_name(), 'request', new.job_id, new.id);
  elsif new.status in ('done', 'error') and old.status not in ('done', 'error') then
    update public.cron_audit
    set outcome = coalesce(new.result ->> 'reason', new.status), outcome_at = clock_timestamp()
    where request_id = new.id and action = 'request';
  end if;
  return null;
end
$$;

create or replace trigger cronmirror_audit after insert or update of status on public.cron_run_requests
  for each row execute function public.cron_audit_request();

-- How many attempts a request of this job gets: the job's number, which a request may lower and never raise.
create or replace function public.cron_max_attempts(p_project text, p_job text, p_requested integer)
returns integer
language sql stable security definer
set search_path = ''
as $$
  select least(p_requested, coalesce((
    select (m.retry ->> 'max_attempts')::integer from public.cron_mirror m
    where m.project_id = p_project and m.job_id = p_job limit 1
  ), 1))
$$;

-- What became of these runs, on their jobs' rows: in this order, only forward in time, and only by an agent that serves
-- the job. A cancelled run is an error for the four-word UI and no failure for the count. One update of a job however many
-- runs it had: each is an event for everybody who watches the job. The caller holds the locks of the jobs.
create or replace function public.cron_note_results(p_ids uuid[])
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_old public.cron_mirror;
  v_new public.cron_mirror;
  v_run record;
begin
  for v_old in
    select m.* from public.cron_mirror m
    where (m.project_id, m.job_id) in (select r.project_id, r.job_id from public.cron_runs r where r.id = any (p_ids))
    order by m.id
  loop
    v_new := v_old;
    for v_run in
      select r.status, r.duration_ms, least(r.started_at, v_now) as began
      from unnest(p_ids) with ordinality as n (id, place)
      join public.cron_runs r on r.id = n.id
      where r.project_id = v_old.project_id and r.job_id = v_old.job_id and r.agent_id = any (v_old.agent_ids)
        and r.started_at is not null and r.status in ('ok', 'error', 'timeout', 'cancelled', 'lost')
      order by n.place
    loop
      continue when v_new.last_run_at >= v_run.began;
      v_new.last_run_at := v_run.began;
      v_new.last_status := case v_run.status when 'ok' then 'ok' else 'error' end;
      v_new.last_duration_ms := v_run.duration_ms;
      v_new.consecutive_failures := case v_run.status
        when 'ok' then 0 when 'cancelled' then v_new.consecutive_failures else v_new.consecutive_failures + 1
      end;
    end loop;
    if v_new.last_run_at is distinct from v_old.last_run_at then
      update public.cron_mirror m
      set
        last_run_at = v_new.last_run_at, last_status = v_new.last_status, last_duration_ms = v_new.last_duration_ms,
        consecutive_failures = v_new.consecutive_failures
      where m.id = v_old.id;
    end if;
  end loop;
end
$$;

-- Closes these `running` runs as `lost`: nobody knows how they ended. It is the one final state that a later report
-- of the same agent may still replace (cron_report), for it says only that we did not know.
-- Locks jobs before runs, like cron_report.
create or replace function public.cron_close_runs(p_ids uuid[])
returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  v_closed uuid[];
begin
  perform 1 from public.cron_mirror m
  where (m.project_id, m.job_id) in (select r.project_id, r.job_id from public.cron_runs r where r.id = any (p_ids))
  order by m.id for no key update;
  with closed as (
    update public.cron_runs r
    set status = 'lost', reason = 'lost', finished_at = clock_timestamp(), error = coalesce(r.error, 'the agent stopped answering')
    where r.id = any (p_ids) and r.status = 'running'
    returning r.id, r.started_at
  )
  select coalesce(array_agg(c.id order by c.started_at), '{}') into v_closed from closed c;
  perform public.cron_note_results(v_closed);
  return cardinality(v_closed);
end
$$;

-- Ends these requests as `error` without a run: expired, cancelled, unknown_job, lost. The caller holds their locks.
create or replace function public.cron_end_requests(p_ids uuid[], p_reason text, p_error text)
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  delete from public.cron_leases l where l.request_id = any (p_ids);
  update public.cron_run_requests r
  set
    status = 'error',
    completed_at = clock_timestamp(),
    last_error = p_error,
    result = jsonb_build_object(
      'ok', false, 'reason', p_reason, 'error', p_error, 'agent_id', r.claimed_by, 'attempt', r.attempts
    )
  where r.id = any (p_ids);
end
$$;

-- The id of the row that stands for an attempt of which nobody ever reported a run.
create or replace function public.cron_silent_attempt(p_request uuid, p_attempt integer)
returns uuid
language sql immutable security definer
set search_path = ''
as $$ select md5(p_request::text || '/' || p_attempt)::uuid $$;

-- Each attempt is a row of cron_runs: those of these requests whose agent was gone before it said that a run began get
-- one, `lost`. When that agent speaks up after all, its own row takes the place (cron_report_one).
create or replace function public.cron_record_silent(p_ids uuid[])
returns void
language sql security definer
set search_path = ''
as $$
  insert into public.cron_runs (
    id, project_id, job_id, agent_id, request_id, trigger, attempt, status, reason, finished_at, error
  )
  select
    public.cron_silent_attempt(r.id, r.attempts), r.project_id, r.job_id, r.claimed_by, r.id, 'request', r.attempts, 'lost', 'lost',
    clock_timestamp(), 'the agent stopped answering before it said whether this began'
  from public.cron_run_requests r
  where r.id = any (p_ids) and r.status = 'running' and r.attempts >= 1 and r.claimed_by is not null
    and not exists (select 1 from public.cron_runs u where u.request_id = r.id and u.attempt = r.attempts)
  on conflict (id) do nothing
$$;

-- Requests whose agent is gone after it may have begun them. Settled: at most once by default, so `lost` is tried
-- again only where the job's `retry.on` names it and attempts are left, after the job's backoff with full jitter.
-- The caller holds their locks.
create or replace function public.cron_lose_requests(p_ids uuid[])
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_again uuid[];
  v_cancelled uuid[];
begin
  select
    coalesce(array_agg(r.id) filter (where r.cancel_requested_at is not null), '{}'),
    coalesce(array_agg(r.id) filter (where r.cancel_requested_at is null and coalesce(m.retry -> 'on' ? 'lost', false)
      and r.attempts < public.cron_max_attempts(r.project_id, r.job_id, r.max_attempts)), '{}')
  into v_cancelled, v_again
  from public.cron_run_requests r
  left join public.cron_mirror m on m.project_id = r.project_id and m.job_id = r.job_id
  where r.id = any (p_ids);

  perform public.cron_close_runs(array(select u.id from public.cron_runs u where u.request_id = any (p_ids) and u.status = 'running'));
  perform public.cron_record_silent(p_ids);
  perform public.cron_end_requests(v_cancelled, 'cancelled', 'cancelled; the agent stopped answering before it could say so');
  perform public.cron_end_requests(
    array(select i from unnest(p_ids) i where i <> all (v_again || v_cancelled)), 'lost', 'the agent stopped answering'
  );
  delete from public.cron_leases l where l.request_id = any (v_again);
  update public.cron_run_requests r
  set
    status = 'queued', claimed_by = null, picked_up_at = null, last_error = 'lost: the agent stopped answering',
    run_at = v_now + make_interval(secs => random() * least(
      coalesce((m.retry ->> 'cap_s')::double precision, 3600),
      coalesce((m.retry ->> 'base_s')::double precision, 30) * 2.0 ^ least(greatest(r.attempts - 1, 0), 30)
    ))
  from public.cron_mirror m
  where r.id = any (v_again) and m.project_id = r.project_id and m.job_id = r.job_id;
end
$$;

-- Which requests of this project may be rescued by `p_rescuer` (an agent, or null for a page).
-- Rule: the lease has expired, its holder has not beaten for a lease, and the rescuer has been here without a gap for
-- a lease; else the first to return from an outage of the database would take everybody's work. A page counts from
-- `p_since`, since when the project has been swept without a gap. Nobody rescues his own rows. `p_silence`: the holder
-- must have been silent for at least so long, however short its lease.
create or replace function public.cron_rescuable(p_project text, p_rescuer text, p_since timestamptz, p_silence interval)
returns setof uuid
language sql stable security definer
set search_path = ''
as $$
  select r.id
  from public.cron_run_requests r
  left join public.cron_leases l on l.request_id = r.id
  left join public.cron_agent_beats b on b.project_id = r.project_id and b.agent_id = r.claimed_by
  cross join lateral make_interval(secs => coalesce(l.lease_s, 60)) length
  where r.project_id = p_project and r.status = 'running' and r.claimed_by is distinct from p_rescuer
    and coalesce(l.expires_at, r.picked_up_at + length, '-infinity') < clock_timestamp()
    and coalesce(b.last_seen_at, '-infinity') < clock_timestamp() - greatest(length, p_silence)
    and p_since <= clock_timestamp() - length
$$;

-- Locks those queued requests of the project that a sweep should end for `p_reason`, in id order, skipping what
-- somebody else is working on.
create or replace function public.cron_lock_ended(p_project text, p_reason text)
returns uuid[]
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  return array(
    select r.id from public.cron_run_requests r
    where r.project_id = p_project and r.status = 'queued' and case p_reason
      when 'cancelled' then r.cancel_requested_at is not null
      when 'expired' then r.expires_at <= v_now
      when 'unknown_job' then r.requested_at <= v_now - interval '10 minutes' and not exists (
        select 1 from public.cron_mirror m where m.project_id = p_project and m.job_id = r.job_id
      )
    end
    order by r.id limit 500
    for update of r skip locked
  );
end
$$;

-- The sweep of a project, at most once per 10 s: expires, cancels, rejects unknown jobs, rescues, closes runs that
-- nobody will, ends sign-ins, says which agents are gone. `p_rescuer`: the agent on whose beat or claim it runs, or null for a page.
-- With `p_silence` it is pg_cron's: that one is always here, even where no agent can reach the database, so it has no gap
-- to be judged by and must leave a silent agent more time.
create or replace function public.cron_sweep_project(p_project text, p_rescuer text, p_silence interval default null)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_since timestamptz;
  v_cancelled uuid[];
  v_expired uuid[];
  v_unknown uuid[];
  v_lost uuid[];
  v_runs integer;
begin
  perform 1 from public.cron_projects p
  where p.project_id = p_project and (p_silence is not null or p.swept_at is null or p.swept_at <= v_now - interval '10 seconds')
  for no key update skip locked;
  if not found then
    return jsonb_build_object('ran', false, 'server_time', v_now);
  end if;
  if p_silence is not null then
    v_since := pg_catalog.pg_postmaster_start_time();
  else
    update public.cron_projects p
    set swept_at = v_now, swept_since = case when p.swept_at > v_now - interval '45 seconds' then p.swept_since else v_now end
    where p.project_id = p_project
    returning p.swept_since into v_since;
  end if;
  if p_rescuer is not null then
    select b.beating_since into v_since from public.cron_agent_beats b where b.project_id = p_project and b.agent_id = p_rescuer;
  end if;

  v_cancelled := public.cron_lock_ended(p_project, 'cancelled');
  perform public.cron_end_requests(v_cancelled, 'cancelled', 'cancelled before it began');
  v_expired := public.cron_lock_ended(p_project, 'expired');
  perform public.cron_end_requests(v_expired, 'expired', 'nobody could run it before it expired');
  v_unknown := public.cron_lock_ended(p_project, 'unknown_job');
  perform public.cron_end_requests(v_unknown, 'unknown_job', 'no agent of this project has a job of this name');

  -- Asked again after locking: a beat may have renewed between the look and the lock.
  v_lost := array(
    select r.id from public.cron_run_requests r
    where r.id in (select public.cron_rescuable(p_project, p_rescuer, v_since, p_silence))
    order by r.id limit 500 for update skip locked
  );
  v_lost := array(
    select i from unnest(v_lost) i where i in (select public.cron_rescuable(p_project, p_rescuer, v_since, p_silence)) order by i
  );
  perform public.cron_lose_requests(v_lost);
  v_runs := public.cron_close_orphaned_runs(p_project, v_since);
  perform public.cron_end_reconnects(p_project);
  return jsonb_build_object(
    'ran', true, 'offline', public.cron_raise_offline(p_project, v_since, p_silence), 'expired', cardinality(v_expired), 'cancelled', cardinality(v_cancelled), 'unknown', cardinality(v_unknown),
    'rescued', cardinality(v_lost), 'lost_runs', v_runs, 'server_time', v_now
  );
end
$$;

-- `running` runs that nobody will close: their request has gone on without them, or their agent is silent for 10 min
-- (and we have been here for a minute to notice).
create or replace function public.cron_close_orphaned_runs(p_project text, p_since timestamptz)
returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  return public.cron_close_runs(array(
    select u.id
    from public.cron_runs u
    left join public.cron_run_requests r on r.id = u.request_id
    left join public.cron_agent_beats b on b.project_id = u.project_id and b.agent_id = u.agent_id
    where u.project_id = p_project and u.status = 'running' and (
      u.request_id is not null and not coalesce(r.status = 'running' and r.claimed_by = u.agent_id and r.attempts = u.attempt, false)
      or coalesce(b.last_seen_at, '-infinity') < v_now - interval '10 minutes' and p_since <= v_now - interval '1 minute'
    )
    order by u.id limit 500
    for update of u skip locked
  ));
end
$$;

-- For pages that see an overdue row: any member may sweep.
create or replace function public.cron_sweep(p_project text)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  perform public.cron_authorise(p_project, 'read');
  return public.cron_sweep_project(p_project, null);
end
$$;

revoke all on function
  public.cron_actor_name(), public.cron_check_quota(public.cron_run_requests), public.cron_begin_request(),
  public.cron_silent_attempt(uuid, integer), public.cron_record_silent(uuid[]), public.cron_audit_request(),
  public.cron_max_attempts(text, text, integer), public.cron_note_results(uuid[]), public.cron_close_runs(uuid[]),
  public.cron_end_requests(uuid[], text, text), public.cron_lose_requests(uuid[]),
  public.cron_rescuable(text, text, timestamptz, interval), public.cron_lock_ended(text, text),
  public.cron_sweep_project(text, text, interval), public.cron_close_orphaned_runs(text, timestamptz), public.cron_sweep(text)
  from public, anon, authenticated, service_role;
grant execute on function public.cron_sweep(text) to anon, authenticated, service_role;
