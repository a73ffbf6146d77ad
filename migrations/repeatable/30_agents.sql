-- Agents: hello (who is the agent now) and beat (it is alive).

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

-- What is due for an agent's jobs: how many requests it could claim now, and when the next one falls due.
create or replace function public.cron_due(
  p_project text, p_agent text, p_job_ids text[], out due integer, out next_due_at timestamptz
)
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_served text[] := public.cron_served(p_project, p_agent, p_job_ids);
begin
  select count(*) filter (where r.run_at <= v_now), min(r.run_at) filter (where r.run_at > v_now)
  into due, next_due_at
  from public.cron_run_requests r
  where r.project_id = p_project and r.status = 'queued' and r.cancel_requested_at is null and r.expires_at > v_now
    and r.job_id = any (v_served);
end
$$;

-- Those of these jobs that the mirror says this agent serves: nobody claims by naming a job.
create or replace function public.cron_served(p_project text, p_agent text, p_job_ids text[])
returns text[]
language sql stable security definer
set search_path = ''
as $$
  select coalesce(array_agg(m.job_id), '{}')
  from public.cron_mirror m
  where m.project_id = p_project and m.job_id = any (p_job_ids) and p_agent = any (m.agent_ids)
$$;

-- The pause in force for an agent: its own or its project's, the stronger and longer one. Null: none.
create or replace function public.cron_pause_of(p_project text, p_agent text)
returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_build_object('mode', p.paused_mode, 'until', p.paused_until)
  from (
    select paused_mode, paused_until from public.cron_projects where project_id = p_project
    union all
    select paused_mode, paused_until from public.cron_agents where project_id = p_project and agent_id = p_agent
  ) p
  where p.paused_mode is not null and (p.paused_until is null or p.paused_until > clock_timestamp())
  order by p.paused_mode = 'all' desc, p.paused_until desc nulls first
  limit 1
$$;

-- Stamps the beat; `beating_since` starts anew after 3 missed ones (45 s). Where the agent was said to be gone, says that
-- it is back. The caller holds the row.
create or replace function public.cron_stamp_beat(p_project text, p_agent text)
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  perform public.cron_raise_online(p_project, p_agent);
  update public.cron_agent_beats b
  set
    beating_since = case when b.last_seen_at > clock_timestamp() - interval '45 seconds' then b.beating_since else clock_timestamp() end,
    last_seen_at = clock_timestamp()
  where b.project_id = p_project and b.agent_id = p_agent;
end
$$;

-- Back to the queue with what an agent held and never began: the attempt is not counted. What was cancelled meanwhile
-- ends. The caller holds the locks and knows that nothing of it was begun.
create or replace function public.cron_return_unbegun(p_ids uuid[])
returns uuid[]
language plpgsql security definer
set search_path = ''
as $$
declare
  v_returned uuid[];
begin
  perform public.cron_end_requests(array(
    select r.id from public.cron_run_requests r where r.id = any (p_ids) and r.cancel_requested_at is not null
  ), 'cancelled', 'cancelled before it began');
  delete from public.cron_leases l where l.request_id = any (p_ids);
  with returned as (
    update public.cron_run_requests r
    set status = 'queued', claimed_by = null, picked_up_at = null, attempts = greatest(r.attempts - 1, 0)
    where r.id = any (p_ids) and r.cancel_requested_at is null
    returning r.id
  )
  select coalesce(array_agg(id), '{}') into v_returned from returned;
  return v_returned;
end
$$;

-- What an agent hands back while it stops (`p_state`: `draining` or `stopped`): whatever it holds and does not know.
-- It begins nothing any more then, so `known` (begun and running, or ended and not reported) is complete; else a
-- request that waited for its turn would be lost to everybody until that agent is back.
create or replace function public.cron_hand_back(p_project text, p_agent text, p_state jsonb)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  v_known uuid[];
begin
  if coalesce(p_state ->> 'state', '') not in ('draining', 'stopped') or jsonb_typeof(p_state -> 'known') is distinct from 'array' then
    return;
  end if;
  v_known := array(select k::uuid from jsonb_array_elements_text(p_state -> 'known') k);
  perform public.cron_return_unbegun(array(
    select r.id from public.cron_run_requests r
    where r.project_id = p_project and r.status = 'running' and r.claimed_by = p_agent and r.id <> all (v_known)
    order by r.id for update
  ));
end
$$;

-- What becomes of the requests that an agent still holds when it says hello.
-- Same state directory (`p_same`): it knows exactly which ones it began. Those stay, with a fresh lease; the others
-- never began (an answer of claim that was lost, kill -9 before the start): back to the queue, the attempt not counted.
-- Another state directory: nobody can know, so all of them are lost, and so are its runs.
create or replace function public.cron_recover_held(
  p_project text, p_agent text, p_same boolean, p_known uuid[], out requeued uuid[], out lost uuid[]
)
language plpgsql security definer
set search_path = ''
as $$
declare
  v_held uuid[];
begin
  v_held := array(
    select r.id from public.cron_run_requests r
    where r.project_id = p_project and r.status = 'running' and r.claimed_by = p_agent
    order by r.id for update
  );
  requeued := '{}';
  lost := '{}';
  if not p_same then
    lost := v_held;
    perform public.cron_lose_requests(v_held);
    perform public.cron_close_runs(array(
      select u.id from public.cron_runs u where u.project_id = p_project and u.agent_id = p_agent and u.status = 'running' order by u.id
    ));
    return;
  end if;
  update public.cron_leases l
  set expires_at = clock_timestamp() + make_interval(secs => l.lease_s)
  where l.request_id = any (v_held) and l.request_id = any (p_known);
  requeued := public.cron_return_unbegun(array(select i from unnest(v_held) i where i <> all (p_known)));
end
$$;

-- This process is the agent now. Two processes with one agent id would run everything twice, so another instance is
-- refused while the old one beats (3 missed beats: 45 s), unless it stopped by its own word or `p_takeover` is given.
-- The same instance is accepted at once: it is the same state directory, so the old process is dead (it held the lock).
-- Every accepted hello raises the epoch, which turns away the calls of the process before. `p_epoch` is the one it
-- raises: a hello that was given up on its way and arrives after its repetition must change nothing, for it knows
-- nothing of what was claimed and begun since. It is told the epoch to ask `again` with.
-- The first hello of a member who is not bound yet binds him to this agent id.
create or replace function public.cron_agent_hello(
  p_project text, p_agent text, p_epoch integer, p_instance uuid, p_info jsonb, p_known uuid[], p_takeover boolean default false
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_role text := public.cron_authorise(p_project, 'hello', p_agent);
  v_info jsonb := case when jsonb_typeof(p_info) = 'object' then p_info else '{}' end;
  v_old public.cron_agents;
  v_beat public.cron_agent_beats;
  v_same boolean;
  v_epoch integer;
  v_held record;
begin
  if p_instance is null then
    raise exception 'p_instance must not be null' using errcode = '22023';
  elsif octet_length(v_info::text) > 65536 then
    raise exception 'p_info is larger than 64 KiB' using errcode = '22023';
  end if;
  insert into public.cron_projects (project_id) values (p_project) on conflict do nothing;
  insert into public.cron_agent_beats (project_id, agent_id) values (p_project, p_agent) on conflict do nothing;
  select b.* into v_beat from public.cron_agent_beats b
  where b.project_id = p_project and b.agent_id = p_agent for no key update;
  select a.* into v_old from public.cron_agents a where a.project_id = p_project and a.agent_id = p_agent;
  v_same := v_old.instance_id is null or v_old.instance_id = p_instance;

  if not v_same and v_old.state <> 'stopped' and v_beat.last_seen_at > clock_timestamp() - interval '45 seconds'
    and not coalesce(p_takeover, false) then
    return jsonb_build_object(
      'status', 'refused', 'hostname', v_old.hostname, 'last_seen_at', v_beat.last_seen_at, 'server_time', clock_timestamp()
    );
  elsif p_epoch is distinct from coalesce(v_old.epoch, 0) then
    return jsonb_build_object('status', 'again', 'epoch', coalesce(v_old.epoch, 0), 'server_time', clock_timestamp());
  end if;

  insert into public.cron_agents as a (
    project_id, agent_id, epoch, instance_id, name, version, hostname, platform, info, started_at, connected_since
  ) values (
    p_project, p_agent, 1, p_instance, v_info ->> 'name', v_info ->> 'version', v_info ->> 'hostname', v_info ->> 'platform',
    v_info, clock_timestamp(), clock_timestamp()
  )
  on conflict (project_id, agent_id) do update set
    epoch = a.epoch + 1, instance_id = excluded.instance_id, name = excluded.name, version = excluded.version,
    hostname = excluded.hostname, platform = excluded.platform, info = excluded.info,
    started_at = excluded.started_at, connected_since = excluded.connected_since,
    state = 'online', realtime = 'polling', running = 0, config_error = null
  returning a.epoch into v_epoch;
  perform public.cron_stamp_beat(p_project, p_agent);
  update public.cron_agent_beats b
  set
    mirror_rev = 0,
    claim_seq = case when v_same then b.claim_seq else 0 end,
    claim_ids = case when v_same then b.claim_ids else '{}' end,
    beating_since = case when v_same then b.beating_since else clock_timestamp() end
  where b.project_id = p_project and b.agent_id = p_agent
  returning b.* into v_beat;
  perform public.cron_bind_member(p_project, p_agent);
  if not v_same then
    insert into public.cron_audit (project_id, actor, actor_name, action, agent_id, detail)
    values (
      p_project, auth.uid(), public.cron_actor_name(), 'new_instance', p_agent,
      jsonb_build_object('from', v_old.hostname, 'to', v_info ->> 'hostname', 'takeover', coalesce(p_takeover, false))
    );
  end if;
  v_held := public.cron_recover_held(p_project, p_agent, v_same, coalesce(p_known, '{}'));
  return jsonb_build_object(
    'status', 'accepted', 'epoch', v_epoch, 'role', v_role, 'schema_version', public.cron_schema_version(),
    'claim_seq', v_beat.claim_seq, 'requeued', v_held.requeued, 'lost', v_held.lost, 'server_time', clock_timestamp()
  );
end
$$;

-- Binds the calling member to this agent id, once and for all (an admin can change it). Of two first hellos of one
-- member under two ids, which both passed the check, the second ends here.
create or replace function public.cron_bind_member(p_project text, p_agent text)
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  update public.cron_project_members m set agent_id = p_agent
  where m.project_id = p_project and m.user_id = auth.uid() and m.role = 'agent' and m.agent_id is null;
  if found then
    insert into public.cron_audit (project_id, actor, actor_name, action, agent_id)
    values (p_project, auth.uid(), public.cron_actor_name(), 'bind_agent', p_agent);
  elsif exists (
    select 1 from public.cron_project_members m
    where m.project_id = p_project and m.user_id = auth.uid() and m.role = 'agent' and m.agent_id <> p_agent
  ) then
    raise exception 'you are bound to another agent of project "%"', p_project using errcode = '42501';
  end if;
exception when unique_violation then
  raise exception 'agent "%" belongs to another member of project "%"', p_agent, p_project using errcode = '42501';
end
$$;

-- Renews what the agent says it runs and tells what it should stop. `p_running`: [{"request_id", "claims"}].
-- An expired lease is still its holder's until somebody rescues it, so it is renewed too. Rows are locked in id order,
-- like everywhere, so that a rescue and a renewal never cross.
create or replace function public.cron_renew_leases(
  p_project text, p_agent text, p_running jsonb, p_lease_s integer, out cancelled uuid[], out lost uuid[]
)
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_said uuid[] := array(select x.request_id from jsonb_to_recordset(p_running) x (request_id uuid) where x.request_id is not null);
  v_ours uuid[];
begin
  perform 1 from public.cron_run_requests r where r.project_id = p_project and r.id = any (v_said) order by r.id for no key update;
  v_now := clock_timestamp();
  select coalesce(array_agg(r.id), '{}'), coalesce(array_agg(r.id) filter (where r.cancel_requested_at is not null), '{}')
  into v_ours, cancelled
  from jsonb_to_recordset(p_running) x (request_id uuid, claims integer)
  join public.cron_run_requests r on r.id = x.request_id and r.project_id = p_project
  where r.status = 'running' and r.claimed_by = p_agent and r.claims = x.claims;
  lost := array(select distinct i from unnest(v_said) i where i <> all (v_ours));
  insert into public.cron_leases as l (request_id, agent_id, claims, lease_s, expires_at)
  select r.id, p_agent, r.claims, p_lease_s, v_now + make_interval(secs => p_lease_s)
  from public.cron_run_requests r where r.id = any (v_ours)
  on conflict (request_id) do update
  set lease_s = excluded.lease_s, expires_at = excluded.expires_at, agent_id = excluded.agent_id, claims = excluded.claims
  where l.expires_at < v_now + make_interval(secs => p_lease_s / 2.0);
end
$$;

-- Shows a beat's state to people: a published row, so written only where it differs. A clock's skew trembles by
-- milliseconds; half a second is a difference. `paused` is the pause of the box itself, `outage` the last one.
create or replace function public.cron_show_state(p_project text, p_agent text, p_state jsonb)
returns void
language plpgsql security definer
set search_path = ''
as $$
declare
  v_skew integer := (p_state ->> 'clock_skew_ms')::integer;
  v_probe boolean := coalesce((p_state ->> 'probe')::boolean, false);
  v_mode text := case when p_state -> 'paused' ->> 'mode' in ('all', 'schedule') then p_state -> 'paused' ->> 'mode' end;
  v_until timestamptz := case when v_mode is not null then (p_state -> 'paused' ->> 'until')::timestamptz end;
  v_outage jsonb := case
    when jsonb_typeof(p_state -> 'outage') = 'object' and octet_length((p_state -> 'outage')::text) <= 2048
    then jsonb_build_object('last_outage', p_state -> 'outage') else '{}'
  end;
begin
  update public.cron_agents a
  set
    state = n.state, realtime = n.realtime, running = n.running, jobs = n.jobs, config_error = n.config_error,
    clock_skew_ms = n.skew, box_paused_mode = v_mode, box_paused_until = v_until, info = n.info,
    probe_at = case when v_probe then clock_timestamp() else a.probe_at end
  from (
    select
      coalesce(p_state ->> 'state', o.state) as state, coalesce(p_state ->> 'realtime', o.realtime) as realtime,
      coalesce((p_state ->> 'running')::integer, o.running) as running, coalesce((p_state ->> 'jobs')::integer, o.jobs) as jobs,
      left(p_state ->> 'config_error', 8192) as config_error, coalesce(o.info, '{}') || v_outage as info,
      case when abs(v_skew::bigint - o.clock_skew_ms) < 500 then o.clock_skew_ms else v_skew end as skew
    from public.cron_agents o where o.project_id = p_project and o.agent_id = p_agent
  ) n
  where a.project_id = p_project and a.agent_id = p_agent and (
    v_probe or (a.state, a.realtime, a.running, a.jobs, a.config_error, a.clock_skew_ms, a.box_paused_mode, a.box_paused_until, a.info)
      is distinct from (n.state, n.realtime, n.running, n.jobs, n.config_error, n.skew, v_mode, v_until, n.info)
  );
end
$$;

-- The agent lives: stamps it, renews its leases, and answers with what it must know: cancelled, lost, due, paused.
-- Sweeps and prunes on the way, so that a project with a living agent needs no pg_cron.
create or replace function public.cron_agent_beat(
  p_project text, p_agent text, p_epoch integer, p_running jsonb, p_state jsonb, p_job_ids text[], p_lease_s integer default 60
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch);
  v_lease integer := least(greatest(coalesce(p_lease_s, 60), 30), 300);
  v_leases record;
  v_due record;
  v_pause jsonb;
begin
  if v_stale is not null then
    return v_stale;
  end if;
  if jsonb_typeof(coalesce(p_running, '[]')) <> 'array' or jsonb_typeof(coalesce(p_state, '{}')) <> 'object' then
    raise exception 'p_running must be an array and p_state an object' using errcode = '22023';
  end if;
  perform public.cron_stamp_beat(p_project, p_agent);
  perform public.cron_show_state(p_project, p_agent, coalesce(p_state, '{}'));
  v_leases := public.cron_renew_leases(p_project, p_agent, coalesce(p_running, '[]'), v_lease);
  perform public.cron_hand_back(p_project, p_agent, p_state);
  perform public.cron_sweep_project(p_project, p_agent);
  perform public.cron_prune_by_beat(p_project);
  v_pause := public.cron_pause_of(p_project, p_agent);
  v_due := public.cron_due(p_project, p_agent, case when v_pause ->> 'mode' = 'all' then '{}' else p_job_ids end);
  return jsonb_build_object(
    'cancelled', v_leases.cancelled, 'lost', v_leases.lost, 'due', v_due.due, 'next_due_at', v_due.next_due_at,
    'paused', v_pause, 'reconnects', public.cron_count_reconnects(p_project, p_agent),
    'waiting', public.cron_waiting_notices(p_project, p_agent), 'server_time', clock_timestamp()
  );
end
$$;

revoke all on function
  public.cron_due(text, text, text[]), public.cron_served(text, text, text[]), public.cron_pause_of(text, text),
  public.cron_stamp_beat(text, text), public.cron_return_unbegun(uuid[]), public.cron_hand_back(text, text, jsonb),
  public.cron_recover_held(text, text, boolean, uuid[]),
  public.cron_agent_hello(text, text, integer, uuid, jsonb, uuid[], boolean), public.cron_bind_member(text, text),
  public.cron_renew_leases(text, text, jsonb, integer), public.cron_show_state(text, text, jsonb),
  public.cron_agent_beat(text, text, integer, jsonb, jsonb, text[], integer)
  from public, anon, authenticated, service_role;
grant execute on function
  public.cron_agent_hello(text, text, integer, uuid, jsonb, uuid[], boolean),
  public.cron_agent_beat(text, text, integer, jsonb, jsonb, text[], integer)
  to anon, authenticated, service_role;
