-- Notices: what changed, said once; who has read it, what is snoozed, and the two that the database raises itself.

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

drop function if exists public.cron_count_notices(text), public.cron_claim_notices(text, text, integer, integer);

-- Whether a subject is snoozed now.
create or replace function public.cron_is_snoozed(p_project text, p_subject text)
returns boolean
language sql stable security definer
set search_path = ''
as $$
  select exists (
    select 1 from public.cron_snoozes s where s.project_id = p_project and s.subject = p_subject and s.until > clock_timestamp()
  )
$$;

-- A notice of the database's own, for whichever agent claims it first. The same change of state is raised once.
create or replace function public.cron_raise(
  p_project text, p_type text, p_severity text, p_title text, p_body text, p_subject text, p_dedupe_key text
)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  v_snoozed boolean := public.cron_is_snoozed(p_project, p_subject);
begin
  with raised as (
    insert into public.cron_notifications (project_id, type, severity, title, body, subject, dedupe_key, created_at, snoozed, read_at)
    values (
      p_project, p_type, p_severity, left(p_title, 200), left(p_body, 4000), p_subject, p_dedupe_key, clock_timestamp(), v_snoozed,
      case when v_snoozed then clock_timestamp() end
    )
    on conflict (project_id, dedupe_key) do nothing
    returning id
  )
  insert into public.cron_notice_claims (notification_id, project_id) select id, p_project from raised where not v_snoozed;
end
$$;

-- Says that an agent is gone: no farewell, silent for 2 minutes (`p_silence`: longer), and we have been here for a minute
-- to notice. Once for each silence. The caller holds the project's row.
create or replace function public.cron_raise_offline(p_project text, p_since timestamptz, p_silence interval)
returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  v_agent record;
  v_count integer := 0;
begin
  if p_since > clock_timestamp() - interval '1 minute' then
    return 0;
  end if;
  for v_agent in
    update public.cron_agent_beats b set offline_since = b.last_seen_at
    from public.cron_agents a
    where b.project_id = p_project and a.project_id = p_project and a.agent_id = b.agent_id and a.state <> 'stopped'
      and b.offline_since is null
      and b.last_seen_at < clock_timestamp() - greatest(interval '2 minutes', p_silence)
    returning b.agent_id, b.last_seen_at, coalesce(a.name, a.agent_id) as name, a.hostname
  loop
    v_count := v_count + 1;
    perform public.cron_raise(
      p_project, 'agent_offline', 'critical', format('%s is offline', v_agent.name),
      format('%s was last heard of at %s UTC.', coalesce(v_agent.agent_id || ' on ' || v_agent.hostname, v_agent.agent_id),
        to_char(v_agent.last_seen_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')),
      'agent:' || v_agent.agent_id,
      format('agent_offline:%s:%s', v_agent.agent_id, extract(epoch from v_agent.last_seen_at))
    );
  end loop;
  return v_count;
end
$$;

-- The agent is heard again after it was said to be gone: that notice is over, and its return is said. The caller holds
-- the agent's row of beats.
create or replace function public.cron_raise_online(p_project text, p_agent text)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  v_since timestamptz;
  v_seen timestamptz;
  v_name text;
begin
  select b.offline_since, b.last_seen_at into v_since, v_seen
  from public.cron_agent_beats b where b.project_id = p_project and b.agent_id = p_agent;
  if v_since is null then
    return;
  end if;
  update public.cron_agent_beats b set offline_since = null where b.project_id = p_project and b.agent_id = p_agent;
  delete from public.cron_notice_claims c
  using public.cron_notifications n
  where n.id = c.notification_id and n.project_id = p_project and n.type = 'agent_offline' and n.subject = 'agent:' || p_agent
    and c.agent_id is null;
  update public.cron_notifications n set read_at = clock_timestamp()
  where n.project_id = p_project and n.type = 'agent_offline' and n.subject = 'agent:' || p_agent and n.read_at is null;
  if not exists (
    select 1 from public.cron_notifications n
    where n.project_id = p_project and n.dedupe_key = format('agent_offline:%s:%s', p_agent, extract(epoch from v_since))
  ) then
    return;
  end if;
  select coalesce(a.name, a.agent_id) into v_name from public.cron_agents a where a.project_id = p_project and a.agent_id = p_agent;
  perform public.cron_raise(
    p_project, 'agent_online', 'info', format('%s is back', coalesce(v_name, p_agent)),
    format('%s was not heard of from %s to %s UTC.', p_agent, to_char(v_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),
      to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI')),
    'agent:' || p_agent, format('agent_online:%s:%s', p_agent, extract(epoch from v_since))
  );
end
$$;

-- For the beat: the newest notices of the last day that wait for an agent with a channel for them, and that this one may
-- claim: [{"id", "type", "severity", "subject"}].
create or replace function public.cron_waiting_notices(p_project text, p_agent text)
returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object('id', w.id, 'type', w.type, 'severity', w.severity, 'subject', w.subject)), '[]')
  from (
    select n.id, n.type, n.severity, n.subject
    from public.cron_notice_claims c join public.cron_notifications n on n.id = c.notification_id
    where c.project_id = p_project and not c.delivered and n.created_at > clock_timestamp() - interval '1 day'
      and (c.expires_at <= clock_timestamp() or (c.agent_id is null and c.offered_to = p_agent))
    order by n.created_at desc limit 50
  ) w
$$;

-- What an agent has to tell: [{"id", "type", "severity", "title", "body", "subject", "at", "dedupe_key", "shared"}]. For
-- each of them `created`, `duplicate` (somebody said it already), `snoozed` (it is in the list, nobody is to be disturbed),
-- or `taken` (of a shared job: the project knows already, or another agent brings it out). What was listed is answered
-- as the first time, where the same id comes again. The jobs that `shared` is about are locked like in cron_report.
create or replace function public.cron_notify(p_project text, p_agent text, p_epoch integer, p_notices jsonb)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch);
  v_notice jsonb;
  v_results jsonb := '[]';
  v_shared text[];
begin
  if v_stale is not null then
    return v_stale;
  end if;
  if jsonb_typeof(coalesce(p_notices, '[]')) <> 'array' or jsonb_array_length(coalesce(p_notices, '[]')) > 100 then
    raise exception 'p_notices must be an array of at most 100' using errcode = '22023';
  end if;
  v_shared := array(
    select substr(n ->> 'subject', 5) from jsonb_array_elements(coalesce(p_notices, '[]')) n
    where jsonb_typeof(n -> 'shared') = 'object' and n ->> 'subject' like 'job:_%'
  );
  if cardinality(v_shared) > 0 then
    perform 1 from public.cron_mirror m
    where m.project_id = p_project and m.job_id = any (v_shared)
    order by m.id for no key update;
  end if;
  for v_notice in select n from jsonb_array_elements(coalesce(p_notices, '[]')) n loop
    v_results := v_results || jsonb_build_object(
      'id', v_notice -> 'id', 'verdict', public.cron_file_notice(p_project, p_agent, v_notice)
    );
  end loop;
  if cardinality(v_shared) > 0 then
    perform public.cron_raise_recovered(p_project, v_shared);
  end if;
  return jsonb_build_object('results', v_results, 'server_time', clock_timestamp());
exception when check_violation or not_null_violation then
  raise exception 'a notice is not one: %', sqlerrm using errcode = '22023';
end
$$;

-- One notice of cron_notify: into the list, if it is news; the verdict. The caller holds the row of a shared job.
create or replace function public.cron_file_notice(p_project text, p_agent text, p_notice jsonb)
returns text
language plpgsql security definer
set search_path = ''
as $$
declare
  v_new record;
  v_known record;
  v_snoozed boolean;
  v_failed public.cron_notifications;
begin
  select n.*, least(coalesce((n.shared ->> 'ended_at')::timestamptz, n.at), clock_timestamp()) as happened into v_new
  from jsonb_to_record(p_notice) n (
    id uuid, type text, severity text, title text, body text, subject text, at timestamptz, dedupe_key text, shared jsonb
  );
  select o.snoozed, c.notification_id is not null as taken into v_known
  from public.cron_notifications o left join public.cron_notice_claims c on c.notification_id = o.id
  where o.project_id = p_project and o.agent_id = p_agent and o.id = v_new.id;
  if found then
    return case when v_known.taken then 'taken' when v_known.snoozed then 'snoozed' else 'created' end;
  elsif not public.cron_is_news(p_project, v_new.type, v_new.subject, v_new.happened, v_new.shared) then
    return 'taken';
  end if;
  if v_new.type = 'job_recovered' and jsonb_typeof(v_new.shared) = 'object' then
    v_failed := public.cron_last_notice(p_project, v_new.subject, array['job_failed']);
  end if;
  v_snoozed := public.cron_is_snoozed(p_project, v_new.subject);
  insert into public.cron_notifications (
    id, project_id, type, severity, title, body, subject, agent_id, created_at, dedupe_key, snoozed, read_at
  ) values (
    v_new.id, p_project, v_new.type, v_new.severity, left(v_new.title, 200), left(coalesce(v_new.body, ''), 4000), v_new.subject,
    p_agent, v_new.happened, v_new.dedupe_key, v_snoozed, case when v_snoozed then clock_timestamp() end
  )
  on conflict do nothing;
  if not found then
    return 'duplicate';
  elsif v_snoozed then
    return 'snoozed';
  elsif jsonb_typeof(v_new.shared) = 'object' and public.cron_hand_over(p_project, p_agent, v_new.id, v_failed, v_new.shared) then
    return 'taken';
  end if;
  return 'created';
end
$$;

-- Those of these notices that nobody is bringing anywhere (a beat's `waiting`): this agent's from now on. It says how that
-- went with cron_delivered within 10 minutes, else another may claim them.
create or replace function public.cron_claim_notices(p_project text, p_agent text, p_epoch integer, p_ids uuid[])
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch);
  v_ids uuid[];
begin
  if v_stale is not null then
    return v_stale;
  end if;
  v_ids := array(
    select c.notification_id from public.cron_notice_claims c
    where c.project_id = p_project and c.notification_id = any (p_ids) and not c.delivered
      and (c.expires_at <= clock_timestamp() or (c.agent_id is null and c.offered_to = p_agent))
    order by c.notification_id limit 100
    for update skip locked
  );
  update public.cron_notice_claims c set agent_id = p_agent, expires_at = clock_timestamp() + interval '10 minutes'
  where c.notification_id = any (v_ids);
  return jsonb_build_object('server_time', clock_timestamp(), 'notices', coalesce((
    select jsonb_agg(jsonb_build_object(
      'id', n.id, 'type', n.type, 'severity', n.severity, 'title', n.title, 'body', n.body, 'subject', n.subject,
      'at', n.created_at, 'dedupe_key', n.dedupe_key
    ) order by n.created_at, n.id)
    from public.cron_notifications n where n.id = any (v_ids)
  ), '[]'));
end
$$;

-- How far notices got: {notice's id: {channel: {"state", "attempts", "at", "error"}}}. Only of notices that this agent
-- raised or claimed; others are passed over. Returns how many were written.
create or replace function public.cron_delivered(p_project text, p_agent text, p_epoch integer, p_deliveries jsonb)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch);
  v_written integer;
begin
  if v_stale is not null then
    return v_stale;
  end if;
  if jsonb_typeof(coalesce(p_deliveries, '{}')) <> 'object' or octet_length(p_deliveries::text) > 262144 then
    raise exception 'p_deliveries must be an object of at most 256 KiB' using errcode = '22023';
  elsif exists (select 1 from jsonb_each(p_deliveries) d where jsonb_typeof(d.value) <> 'object') then
    raise exception 'the deliveries of a notice must be an object' using errcode = '22023';
  end if;
  update public.cron_notice_claims c set delivered = true
  from jsonb_each(p_deliveries) d
  where c.notification_id::text = d.key and c.project_id = p_project and c.agent_id = p_agent and not c.delivered;
  update public.cron_notifications n set deliveries = n.deliveries || d.value
  from jsonb_each(p_deliveries) d
  where n.id::text = d.key and n.project_id = p_project and n.deliveries || d.value <> n.deliveries
    and octet_length((n.deliveries || d.value)::text) <= 65536 and (
      n.agent_id = p_agent
      or exists (select 1 from public.cron_notice_claims c where c.notification_id = n.id and c.agent_id = p_agent)
    );
  get diagnostics v_written = row_count;
  return jsonb_build_object('written', v_written, 'server_time', clock_timestamp());
end
$$;

-- Marks notices as read, for everybody in the project; `p_ids` null: all, up to 1,000 a call.
create or replace function public.cron_read_notifications(p_project text, p_ids uuid[] default null)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_read integer;
begin
  perform public.cron_authorise(p_project, 'read');
  update public.cron_notifications n set read_at = clock_timestamp()
  where n.id in (
    select o.id from public.cron_notifications o
    where o.project_id = p_project and o.read_at is null and (p_ids is null or o.id = any (p_ids))
    order by o.created_at desc limit 1000
    for update skip locked
  );
  get diagnostics v_read = row_count;
  return jsonb_build_object('read', v_read, 'server_time', clock_timestamp());
end
$$;

-- Nobody is told of this subject until then (at most a year ahead); null: again at once. What it is about goes on.
create or replace function public.cron_snooze(p_project text, p_subject text, p_until timestamptz default null)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  perform public.cron_authorise(p_project, 'operate');
  if p_subject is null or p_subject !~ '^(job|connection|agent):.' or length(p_subject) > 220 then
    raise exception 'p_subject must be job:ID, connection:ID or agent:ID' using errcode = '22023';
  elsif p_until <= clock_timestamp() or p_until > clock_timestamp() + interval '366 days' then
    raise exception 'p_until must lie ahead, at most a year; leave it out to end the snooze' using errcode = '22023';
  end if;
  if p_until is null then
    delete from public.cron_snoozes s where s.project_id = p_project and s.subject = p_subject;
  elsif (select count(*) from public.cron_snoozes s where s.project_id = p_project and s.subject <> p_subject) >= 1000 then
    raise exception 'project "%" has 1,000 snoozes already', p_project using errcode = 'PT429';
  else
    insert into public.cron_snoozes (project_id, subject, until, by) values (p_project, p_subject, p_until, public.cron_actor_name())
    on conflict (project_id, subject) do update set until = excluded.until, by = excluded.by;
  end if;
  insert into public.cron_audit (project_id, actor, actor_name, action, detail)
  values (
    p_project, auth.uid(), public.cron_actor_name(), 'snooze', jsonb_build_object('subject', p_subject, 'until', p_until)
  );
  return jsonb_build_object('subject', p_subject, 'until', p_until, 'server_time', clock_timestamp());
end
$$;

revoke all on function
  public.cron_is_snoozed(text, text), public.cron_raise(text, text, text, text, text, text, text),
  public.cron_raise_offline(text, timestamptz, interval), public.cron_raise_online(text, text), public.cron_waiting_notices(text, text),
  public.cron_notify(text, text, integer, jsonb), public.cron_file_notice(text, text, jsonb),
  public.cron_claim_notices(text, text, integer, uuid[]), public.cron_delivered(text, text, integer, jsonb),
  public.cron_read_notifications(text, uuid[]), public.cron_snooze(text, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function
  public.cron_notify(text, text, integer, jsonb), public.cron_claim_notices(text, text, integer, uuid[]),
  public.cron_delivered(text, text, integer, jsonb), public.cron_read_notifications(text, uuid[]),
  public.cron_snooze(text, text, timestamptz)
  to anon, authenticated, service_role;
