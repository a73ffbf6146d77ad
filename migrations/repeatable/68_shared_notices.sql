-- Notices of shared jobs (`placement: any`). Each agent knows its own runs alone; the project's list, where all of them
-- meet, decides under the lock of the job's row whether what one of them says is news for the project.

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

-- The last notice of one of these types about a subject, in the order in which the list took them in.
create or replace function public.cron_last_notice(p_project text, p_subject text, p_types text[])
returns public.cron_notifications
language sql stable security definer
set search_path = ''
as $$
  select n from public.cron_notifications n
  where n.project_id = p_project and n.subject = p_subject and n.type = any (p_types)
  order by n.filed_at desc limit 1
$$;

-- Who brings a notice to people: whoever said it, where it was not put up for others; null: nobody has taken it yet.
create or replace function public.cron_bearer(p_notice public.cron_notifications)
returns text
language sql stable security definer
set search_path = ''
as $$
  select coalesce(
    (select c.agent_id from public.cron_notice_claims c where c.notification_id = p_notice.id),
    case when not exists (select 1 from public.cron_notice_claims c where c.notification_id = p_notice.id) then p_notice.agent_id end
  )
$$;

-- The last good run of a job that ended after that. Reports of an agent that was cut off may be old.
create or replace function public.cron_good_run(p_project text, p_job text, p_since timestamptz)
returns public.cron_runs
language sql stable security definer
set search_path = ''
as $$
  select r from public.cron_runs r
  where r.project_id = p_project and r.job_id = p_job and r.status = 'ok' and r.finished_at > p_since
    and r.started_at > p_since - interval '1 day'
  order by r.started_at desc limit 1
$$;

-- Whether it changes what the project knows of the job. `p_shared`: {"realert_s": what still fails is said again after so
-- long, "slots": [those of a `job_missed`], "told": people have heard it already, for Supabase did not answer}; null or not
-- about a job: the agent is the only one who knows.
-- Rules: a failure is news unless the list's last word is one (not long enough ago), or it was over before it was heard of
-- and nobody was told; a recovery unless the last word is one; slots are, unless all of them were run by somebody, or
-- the last ones were said and the job has not run since.
-- The caller holds the job's row.
create or replace function public.cron_is_news(p_project text, p_type text, p_subject text, p_at timestamptz, p_shared jsonb)
returns boolean
language plpgsql security definer
set search_path = ''
as $$
declare
  v_job text := substr(p_subject, 5);
  v_last public.cron_notifications;
begin
  if jsonb_typeof(p_shared) is distinct from 'object' or p_subject not like 'job:_%' then
    return true;
  elsif p_type = 'job_missed' then
    v_last := public.cron_last_notice(p_project, p_subject, array['job_missed']);
    return (
      v_last.id is null or exists (
        select 1 from public.cron_runs r
        where r.project_id = p_project and r.job_id = v_job and r.started_at > v_last.created_at
      )
    ) and (
      jsonb_array_length(coalesce(p_shared -> 'slots', '[]')) = 0 or exists (
        select 1 from jsonb_array_elements_text(p_shared -> 'slots') s (slot)
        where not exists (
          select 1 from public.cron_runs r
          where r.project_id = p_project and r.job_id = v_job and r.scheduled_for = s.slot::timestamptz
            and r.status not in ('missed', 'skipped')
        )
      )
    );
  end if;
  v_last := public.cron_last_notice(p_project, p_subject, array['job_failed', 'job_recovered']);
  if p_type = 'job_failed' and not coalesce((p_shared ->> 'told')::boolean, false)
    and (public.cron_good_run(p_project, v_job, p_at)).id is not null then
    return false;
  end if;
  return v_last.type is distinct from p_type or (
    p_type = 'job_failed'
    and coalesce(v_last.created_at + make_interval(secs => (p_shared ->> 'realert_s')::double precision) <= p_at, false)
  );
end
$$;

-- Puts a shared job's notice that was just listed into the right hands; whether they are others than those of the agent
-- that said it (`p_agent`; null: the database). A recovery (`p_failed`: from what) goes first to whoever brought out the
-- failure, and to nobody where nobody did. `for_others`: the agent has no channel for it. The caller holds the job's row.
create or replace function public.cron_hand_over(p_project text, p_agent text, p_id uuid, p_failed public.cron_notifications, p_shared jsonb)
returns boolean
language plpgsql security definer
set search_path = ''
as $$
declare
  v_bearer text := p_agent;
begin
  if p_failed.id is not null then
    delete from public.cron_notice_claims c where c.notification_id = p_failed.id and c.agent_id is null;
    if found then
      return true;
    end if;
    v_bearer := public.cron_bearer(p_failed);
  end if;
  if v_bearer = p_agent and not coalesce((p_shared ->> 'for_others')::boolean, false) then
    return false;
  end if;
  v_bearer := nullif(v_bearer, p_agent);
  insert into public.cron_notice_claims (notification_id, project_id, offered_to, expires_at)
  values (
    p_id, p_project, v_bearer, clock_timestamp() + case when v_bearer is null then interval '0' else interval '2 minutes' end
  );
  return true;
end
$$;

-- Of these jobs, the shared ones that are said to fail and have run well since, on whatever agent: they work again. The
-- caller holds the jobs' rows.
create or replace function public.cron_raise_recovered(p_project text, p_jobs text[])
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  v_job record;
  v_failed public.cron_notifications;
  v_run public.cron_runs;
  v_id uuid;
  v_snoozed boolean;
begin
  for v_job in
    select m.job_id, coalesce(nullif(m.name, ''), m.job_id) as name from public.cron_mirror m
    where m.project_id = p_project and m.job_id = any (p_jobs) and m.placement = 'any'
    order by m.id
  loop
    v_failed := public.cron_last_notice(p_project, 'job:' || v_job.job_id, array['job_failed', 'job_recovered']);
    continue when v_failed.type is distinct from 'job_failed';
    v_run := public.cron_good_run(p_project, v_job.job_id, v_failed.created_at);
    continue when v_run.id is null;
    v_snoozed := public.cron_is_snoozed(p_project, v_failed.subject);
    insert into public.cron_notifications (project_id, type, severity, title, body, subject, dedupe_key, created_at, snoozed, read_at)
    values (
      p_project, 'job_recovered', 'info', left(v_job.name || ' works again', 200),
      format(E'It had failed since %s UTC (%s).\nOn %s, %s UTC; run %s.', to_char(v_failed.created_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),
        v_failed.agent_id, v_run.agent_id, to_char(v_run.started_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), v_run.id),
      v_failed.subject, 'job_recovered:' || v_failed.id, clock_timestamp(), v_snoozed, case when v_snoozed then clock_timestamp() end
    )
    on conflict (project_id, dedupe_key) do nothing
    returning id into v_id;
    if v_id is not null and not v_snoozed then
      perform public.cron_hand_over(p_project, null, v_id, v_failed, null);
    end if;
  end loop;
end
$$;

revoke all on function
  public.cron_last_notice(text, text, text[]), public.cron_bearer(public.cron_notifications),
  public.cron_good_run(text, text, timestamptz),
  public.cron_is_news(text, text, text, timestamptz, jsonb),
  public.cron_hand_over(text, text, uuid, public.cron_notifications, jsonb), public.cron_raise_recovered(text, text[])
  from public, anon, authenticated, service_role;
