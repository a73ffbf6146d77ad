-- Retention: on by default, so that a small project stays small without anybody's care. In small steps, for every
-- deleted row of a published table is an event at every page.

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

drop function if exists public.cron_stale(text, integer, integer);
drop function if exists public.cron_prune_project(text, integer, integer, integer);
drop function if exists public.cron_prune_hourly(text);

-- Finished runs of a project from before `p_before`, oldest first; `p_limit` null: all. A run that went on for weeks
-- counts from its end. What a waiting or running request may still need is not among them.
-- The request is asked for as a scalar, so that no plan ever reads all requests for it.
create or replace function public.cron_old_runs(p_project text, p_before timestamptz, p_limit integer)
returns setof uuid
language sql stable security definer
set search_path = ''
as $$
  select r.id
  from public.cron_runs r
  where r.project_id = p_project and coalesce(r.started_at, r.scheduled_for, r.created_at) < p_before
    and r.status <> 'running' and coalesce(r.finished_at, r.started_at, r.created_at) < p_before
    and coalesce((select q.status in ('done', 'error') from public.cron_run_requests q where q.id = r.request_id), true)
  order by coalesce(r.started_at, r.scheduled_for, r.created_at)
  limit p_limit
$$;

-- Finished requests of a project from before `p_before`, oldest first; `p_limit` null: all.
create or replace function public.cron_old_requests(p_project text, p_before timestamptz, p_limit integer)
returns setof uuid
language sql stable security definer
set search_path = ''
as $$
  select q.id
  from public.cron_run_requests q
  where q.project_id = p_project and q.requested_at < p_before
    and q.status in ('done', 'error') and coalesce(q.completed_at, q.requested_at) < p_before
  order by q.requested_at
  limit p_limit
$$;

-- Finished runs of a job beyond its newest `p_keep`, oldest first. Those that ran and those that did not (missed,
-- skipped, cancelled while they waited: nothing began) are counted apart, else one night asleep would push every real
-- run out. Nothing goes within its first hour: a page may be showing it, a batch may still be counted.
create or replace function public.cron_surplus_runs(p_project text, p_job text, p_keep integer, p_limit integer)
returns setof uuid
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_hour timestamptz := clock_timestamp() - interval '1 hour';
  v_ran timestamptz;
  v_not timestamptz;
begin
  select r.started_at into v_ran from public.cron_runs r
  where r.project_id = p_project and r.job_id = p_job and r.started_at is not null
  order by r.started_at desc offset p_keep - 1 limit 1;
  select coalesce(r.scheduled_for, r.created_at) into v_not from public.cron_runs r
  where r.project_id = p_project and r.job_id = p_job and r.started_at is null
  order by coalesce(r.scheduled_for, r.created_at) desc offset p_keep - 1 limit 1;
  if v_ran is not null then
    return query
      select r.id from public.cron_runs r
      where r.project_id = p_project and r.job_id = p_job and r.started_at < v_ran
        and r.status <> 'running' and greatest(r.created_at, r.finished_at) < v_hour
        and coalesce((select q.status in ('done', 'error') from public.cron_run_requests q where q.id = r.request_id), true)
      order by r.started_at limit p_limit;
  end if;
  if v_not is not null then
    return query
      select r.id from public.cron_runs r
      where r.project_id = p_project and r.job_id = p_job and r.started_at is null
        and coalesce(r.scheduled_for, r.created_at) < v_not and r.status <> 'running' and r.created_at < v_hour
        and coalesce((select q.status in ('done', 'error') from public.cron_run_requests q where q.id = r.request_id), true)
      order by coalesce(r.scheduled_for, r.created_at) limit p_limit;
  end if;
end
$$;

-- Deletes these runs, and with `p_with_requests` the finished requests that have no run left. Returns how many rows.
-- Requests are locked before runs, like everywhere; what somebody else is working on waits for the next step.
create or replace function public.cron_delete_runs(p_ids uuid[], p_with_requests boolean)
returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  v_requests uuid[];
  v_ids uuid[];
  v_count integer := 0;
begin
  if cardinality(p_ids) = 0 then
    return 0;
  end if;
  v_requests := array(
    select q.id from public.cron_run_requests q
    where q.id = any (array(select r.request_id from public.cron_runs r where r.id = any (p_ids) and r.request_id is not null))
      and q.status in ('done', 'error')
    order by q.id for update skip locked
  );
  v_ids := array(
    select r.id from public.cron_runs r
    where r.id = any (p_ids) and r.status <> 'running' and (
      r.request_id is null or r.request_id = any (v_requests)
      or not exists (select 1 from public.cron_run_requests q where q.id = r.request_id)
    )
    order by r.id for update skip locked
  );
  insert into public.cron_pruned_slots as s (project_id, job_id, up_to)
  select r.project_id, r.job_id, max(r.scheduled_for)
  from public.cron_runs r
  join public.cron_mirror m on m.project_id = r.project_id and m.job_id = r.job_id and m.placement = 'any'
  where r.id = any (v_ids) and r.scheduled_for is not null and r.status <> 'missed'
  group by r.project_id, r.job_id
  order by r.project_id, r.job_id
  on conflict (project_id, job_id) do update set up_to = greatest(s.up_to, excluded.up_to);
  delete from public.cron_runs r where r.id = any (v_ids);
  if p_with_requests then
    delete from public.cron_run_requests q
    where q.id = any (v_requests) and not exists (select 1 from public.cron_runs r where r.request_id = q.id);
    get diagnostics v_count = row_count;
  end if;
  return v_count + cardinality(v_ids);
end
$$;

-- Deletes at most `p_limit` rows of a project from before `p_before`: runs, requests, sign-ins that are over, notices, audit.
-- Returns how many. Snoozes that are over go besides: nobody hears of them.
create or replace function public.cron_prune_old(p_project text, p_before timestamptz, p_limit integer)
returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  v_done integer;
  v_count integer;
begin
  v_done := public.cron_delete_runs(array(select public.cron_old_runs(p_project, p_before, p_limit)), false);
  delete from public.cron_run_requests q
  where q.id = any (array(select public.cron_old_requests(p_project, p_before, p_limit - v_done)));
  get diagnostics v_count = row_count;
  v_done := v_done + v_count;
  delete from public.cron_connection_requests q
  where q.id = any (array(
    select o.id from public.cron_connection_requests o
    where o.project_id = p_project and o.requested_at < p_before and o.status in ('done', 'error')
    order by o.requested_at limit p_limit - v_done
  ));
  get diagnostics v_count = row_count;
  v_done := v_done + v_count;
  delete from public.cron_notifications n
  where n.id = any (array(
    select o.id from public.cron_notifications o
    where o.project_id = p_project and o.created_at < p_before
    order by o.created_at limit p_limit - v_done
  ));
  get diagnostics v_count = row_count;
  v_done := v_done + v_count;
  delete from public.cron_snoozes s where s.project_id = p_project and s.until < now();
  delete from public.cron_audit a
  where a.id = any (array(
    select o.id from public.cron_audit o
    where o.project_id = p_project and o.at < p_before
    order by o.at limit p_limit - v_done
  ));
  get diagnostics v_count = row_count;
  return v_done + v_count;
end
$$;

-- The last `p_bytes` of a text, beginning with a whole character.
create or replace function public.cron_tail(p_text text, p_bytes integer)
returns text
language plpgsql immutable security definer
set search_path = ''
as $$
declare
  v_bytes bytea := convert_to(right(p_text, p_bytes), 'UTF8');
begin
  v_bytes := substr(v_bytes, greatest(octet_length(v_bytes) - p_bytes, 0) + 1);
  while octet_length(v_bytes) > 0 and get_byte(v_bytes, 0) & 192 = 128 loop
    v_bytes := substr(v_bytes, 2);
  end loop;
  return convert_from(v_bytes, 'UTF8');
end
$$;

-- Live output goes an hour after its run; the output of an `ok` run is cut to 4 KiB after a day. A little of it.
-- A run is found by its first piece: there are few of those, and many pieces.
create or replace function public.cron_prune_output(p_project text)
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  delete from public.cron_run_logs l
  where l.run_id = any (array(
    select distinct o.run_id from (
      select f.run_id from public.cron_run_logs f
      join public.cron_runs r on r.id = f.run_id
      where f.seq <= 1 and f.at < now() - interval '1 hour' and r.project_id = p_project and r.status <> 'running'
        and r.finished_at < now() - interval '1 hour'
      order by f.at limit 20
    ) o
  ));
  update public.cron_runs u set output = public.cron_tail(u.output, 4096)
  where u.id = any (array(
    select r.id from public.cron_runs r
    where r.project_id = p_project and r.status = 'ok' and octet_length(r.output) > 4096
      and r.finished_at < now() - interval '1 day'
    order by r.finished_at limit 10 for no key update skip locked
  ));
end
$$;

-- One step of the default retention: at most 50 rows that pages hear of. What is older than 14 days first, then what
-- 10 jobs have beyond 200 runs. The next step goes on with the next 10, or with the job that was too much for this one.
-- Returns how many rows were deleted.
create or replace function public.cron_prune_step(p_project text)
returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  v_done text := coalesce((select p.prune_job from public.cron_projects p where p.project_id = p_project), '');
  v_job text;
  v_left integer := 50 - public.cron_prune_old(p_project, now() - interval '14 days', 50);
begin
  for v_n in 1..10 loop
    exit when v_left < 2;
    select r.job_id into v_job from public.cron_runs r
    where r.project_id = p_project and r.job_id > v_done order by r.job_id limit 1;
    if v_job is null then
      v_done := '';
      exit;
    end if;
    v_left := v_left - public.cron_delete_runs(array(
      select i from public.cron_surplus_runs(p_project, v_job, 200, v_left / 2) i limit v_left / 2
    ), true);
    v_done := case when v_left < 2 then v_done else v_job end;
  end loop;
  perform public.cron_prune_output(p_project);
  update public.cron_projects p set pruned_at = clock_timestamp(), prune_job = v_done where p.project_id = p_project;
  return 50 - v_left;
end
$$;

-- A step of the default retention on the way of a beat, at most every 10 s. Not where pg_cron sees to it
-- (optional/pg_cron.sql); where that has not happened for a day and a bit, beats do it again.
create or replace function public.cron_prune_by_beat(p_project text)
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  perform 1 from public.cron_projects p
  where p.project_id = p_project and (p.pruned_at is null or p.pruned_at < clock_timestamp() - interval '10 seconds')
    and (p.pruned_by_cron_at is null or p.pruned_by_cron_at < clock_timestamp() - interval '26 hours')
  for no key update skip locked;
  if found then
    perform public.cron_prune_step(p_project);
  end if;
end
$$;

-- What pg_cron does every minute (optional/pg_cron.sql): sweeps every project, with 10 minutes' patience for a silent agent,
-- and drops old output. A procedure, so that each project is a transaction of its own.
create or replace procedure public.cron_tend()
language plpgsql
as $$
declare
  v_project text;
begin
  for v_project in select p.project_id from public.cron_projects p order by p.project_id loop
    perform public.cron_sweep_project(v_project, null, interval '10 minutes');
    perform public.cron_prune_output(v_project);
    commit;
  end loop;
end
$$;

-- What pg_cron does every night: steps of retention for every project, with a rest after each that deleted something,
-- for at most `p_within`. A project that was finished is left alone by beats for a day and a bit.
create or replace procedure public.cron_prune_all(p_rest_s double precision default 1, p_within interval default '2 hours')
language plpgsql
as $$
declare
  v_end timestamptz := clock_timestamp() + p_within;
  v_project text;
  v_deleted integer;
begin
  for v_project in select p.project_id from public.cron_projects p order by p.project_id loop
    loop
      v_deleted := public.cron_prune_step(v_project);
      commit;
      if clock_timestamp() > v_end then
        return;
      end if;
      exit when v_deleted = 0 and (select p.prune_job = '' from public.cron_projects p where p.project_id = v_project);
      if v_deleted > 0 then
        perform pg_sleep(p_rest_s);
      end if;
    end loop;
    update public.cron_projects p set pruned_by_cron_at = clock_timestamp() where p.project_id = v_project;
    commit;
  end loop;
end
$$;

-- For admins who want less: at most 1,000 rows a call; ask again while `left` is not 0.
create or replace function public.cron_prune(p_project text, p_days integer)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_before timestamptz;
  v_deleted integer;
  v_left integer;
begin
  perform public.cron_authorise(p_project, 'admin');
  if p_days is null or p_days not between 1 and 36500 then
    raise exception 'p_days must be at least 1' using errcode = '22023';
  end if;
  v_before := now() - make_interval(days => p_days);
  v_deleted := public.cron_prune_old(p_project, v_before, 1000);
  v_left := (select count(*) from public.cron_old_runs(p_project, v_before, null))
    + (select count(*) from public.cron_old_requests(p_project, v_before, null))
    + (select count(*) from public.cron_connection_requests c
      where c.project_id = p_project and c.requested_at < v_before and c.status in ('done', 'error'))
    + (select count(*) from public.cron_notifications n where n.project_id = p_project and n.created_at < v_before)
    + (select count(*) from public.cron_audit a where a.project_id = p_project and a.at < v_before);
  insert into public.cron_audit (project_id, actor, actor_name, action, detail)
  values (p_project, auth.uid(), public.cron_actor_name(), 'prune', jsonb_build_object('days', p_days, 'deleted', v_deleted));
  return jsonb_build_object('deleted', v_deleted, 'left', v_left, 'server_time', clock_timestamp());
end
$$;

revoke all on function
  public.cron_old_runs(text, timestamptz, integer), public.cron_old_requests(text, timestamptz, integer),
  public.cron_surplus_runs(text, text, integer, integer), public.cron_delete_runs(uuid[], boolean),
  public.cron_prune_old(text, timestamptz, integer), public.cron_tail(text, integer), public.cron_prune_output(text),
  public.cron_prune_step(text), public.cron_prune_by_beat(text), public.cron_prune(text, integer)
  from public, anon, authenticated, service_role;
revoke all on procedure public.cron_tend(), public.cron_prune_all(double precision, interval)
  from public, anon, authenticated, service_role;
grant execute on function public.cron_prune(text, integer) to authenticated, service_role;
