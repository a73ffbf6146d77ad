-- Connections: what agents say of them, and how a person signs one in again without reaching the agent's box.

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

-- Ends those sign-ins of a project that are past their end. `p_connection`: also its open one, and why.
create or replace function public.cron_end_reconnects(p_project text, p_connection text default null, p_why text default null)
returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  v_row record;
  v_count integer := 0;
begin
  for v_row in
    select r.id, r.expires_at <= clock_timestamp() as expired from public.cron_connection_requests r
    where r.project_id = p_project and r.status in ('asked', 'waiting', 'given')
      and (r.expires_at <= clock_timestamp() or r.connection_id = p_connection)
    order by r.id for no key update
  loop
    perform public.cron_finish_reconnect(v_row.id, case when v_row.expired then 'nobody finished it in time' else p_why end);
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;

-- What waits for this agent: sign-ins to begin, and codes to take.
create or replace function public.cron_open_reconnects(p_project text, p_agent text)
returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', r.id, 'connection_id', r.connection_id, 'kind', r.kind, 'status', r.status, 'redirect_uri', r.redirect_uri,
    'other_account_ok', r.other_account_ok, 'expires_at', r.expires_at,
    'code', exists (select 1 from public.cron_connection_codes c where c.request_id = r.id)
  ) order by r.requested_at), '[]')
  from public.cron_connection_requests r
  where r.project_id = p_project and r.agent_id = p_agent and r.status in ('asked', 'waiting', 'given')
    and r.expires_at > clock_timestamp()
$$;

-- For the beat: how many sign-ins ask something of this agent now.
create or replace function public.cron_count_reconnects(p_project text, p_agent text)
returns integer
language sql stable security definer
set search_path = ''
as $$
  select count(*)::integer from public.cron_connection_requests r
  where r.project_id = p_project and r.agent_id = p_agent and r.expires_at > clock_timestamp() and (
    r.status = 'asked'
    or r.status = 'given' and exists (select 1 from public.cron_connection_codes c where c.request_id = r.id)
  )
$$;

-- One connection of a report as it would stand in cron_connections; raises 22023 naming it where it cannot.
create or replace function public.cron_read_connection(p_project text, p_agent text, p_connection jsonb)
returns public.cron_connections
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_row public.cron_connections;
begin
  begin
    v_row := jsonb_populate_record(null::public.cron_connections, p_connection);
  exception when data_exception then
    raise exception 'connection "%": %', left(coalesce(p_connection ->> 'connection_id', p_connection::text), 200), sqlerrm
      using errcode = '22023';
  end;
  if coalesce(v_row.connection_id, '') = '' or length(v_row.connection_id) > 200 then
    raise exception 'connection_id must be 1 to 200 characters' using errcode = '22023';
  elsif v_row.last_failure_kind not in ('transient', 'permanent', 'rate_limit') then
    raise exception 'connection "%": last_failure_kind must be transient, permanent or rate_limit', v_row.connection_id
      using errcode = '22023';
  elsif cardinality(v_row.scopes) > 200 then
    raise exception 'connection "%": more than 200 scopes', v_row.connection_id using errcode = '22023';
  end if;
  v_row.project_id := p_project;
  v_row.agent_id := p_agent;
  v_row.provider := left(coalesce(v_row.provider, 'generic'), 200);
  v_row.account := left(v_row.account, 320);
  v_row.scopes := coalesce(v_row.scopes, '{}');
  v_row.is_active := coalesce(v_row.is_active, false);
  v_row.needs_reauth := coalesce(v_row.needs_reauth, false);
  v_row.last_refresh_error := left(v_row.last_refresh_error, 500);
  v_row.consecutive_failures := greatest(coalesce(v_row.consecutive_failures, 0), 0);
  v_row.consecutive_transient_failures := greatest(coalesce(v_row.consecutive_transient_failures, 0), 0);
  return v_row;
end
$$;

-- Where an agent's connections stand, after each change. `p_ids`: all that it has; its others go, with their open
-- sign-ins. Null: only these have changed.
-- Rule: another agent's connection is refused, as another's job is, unless that agent has been silent for 10 minutes.
-- Answers also what people ask of this agent's connections.
create or replace function public.cron_report_connections(
  p_project text, p_agent text, p_epoch integer, p_connections jsonb, p_ids text[] default null
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch, 'keep');
  v_rows public.cron_connections[];
  v_refused jsonb;
begin
  if v_stale is not null then
    return v_stale;
  end if;
  if jsonb_typeof(coalesce(p_connections, '[]')) <> 'array' then
    raise exception 'p_connections must be an array' using errcode = '22023';
  elsif jsonb_array_length(coalesce(p_connections, '[]')) > 1000 or cardinality(p_ids) > 1000 then
    raise exception 'more than 1,000 connections' using errcode = '22023';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('cronmirror connections ' || p_project, 0));
  v_rows := array(
    select distinct on (r.connection_id) r
    from jsonb_array_elements(coalesce(p_connections, '[]')) c cross join lateral public.cron_read_connection(p_project, p_agent, c) r
    order by r.connection_id
  );
  select coalesce(jsonb_agg(jsonb_build_object('connection_id', c.connection_id, 'agent_id', c.agent_id) order by c.connection_id), '[]')
  into v_refused
  from public.cron_connections c
  join unnest(v_rows) n on n.connection_id = c.connection_id
  left join public.cron_agent_beats b on b.project_id = p_project and b.agent_id = c.agent_id
  where c.project_id = p_project and c.agent_id <> p_agent
    and coalesce(b.last_seen_at, '-infinity') > clock_timestamp() - interval '10 minutes';

  insert into public.cron_connections as c (
    project_id, connection_id, agent_id, provider, account, scopes, is_active, token_expires_at, needs_reauth, last_refresh_at,
    last_refresh_error, last_failure_kind, consecutive_failures, consecutive_transient_failures
  )
  select
    p_project, n.connection_id, p_agent, n.provider, n.account, n.scopes, n.is_active, n.token_expires_at, n.needs_reauth,
    n.last_refresh_at, n.last_refresh_error, n.last_failure_kind, n.consecutive_failures, n.consecutive_transient_failures
  from unnest(v_rows) n
  where n.connection_id not in (select r ->> 'connection_id' from jsonb_array_elements(v_refused) r)
  on conflict (project_id, connection_id) do update set
    agent_id = excluded.agent_id, provider = excluded.provider, account = excluded.account, scopes = excluded.scopes,
    is_active = excluded.is_active, token_expires_at = excluded.token_expires_at, needs_reauth = excluded.needs_reauth,
    last_refresh_at = excluded.last_refresh_at, last_refresh_error = excluded.last_refresh_error,
    last_failure_kind = excluded.last_failure_kind, consecutive_failures = excluded.consecutive_failures,
    consecutive_transient_failures = excluded.consecutive_transient_failures, updated_at = clock_timestamp()
  where to_jsonb(c) - 'id' - 'updated_at' is distinct from to_jsonb(excluded) - 'id' - 'updated_at';

  if p_ids is not null then
    delete from public.cron_connections c
    where c.project_id = p_project and c.agent_id = p_agent and c.connection_id <> all (p_ids);
  end if;
  -- A sign-in is the agent's that holds the connection now.
  perform public.cron_end_reconnects(p_project, r.connection_id, 'its agent does not hold this connection any more')
  from public.cron_connection_requests r
  where r.project_id = p_project and r.status in ('asked', 'waiting', 'given') and not exists (
    select 1 from public.cron_connections c
    where c.project_id = p_project and c.connection_id = r.connection_id and c.agent_id = r.agent_id
  );
  return jsonb_build_object(
    'refused', v_refused, 'requests', public.cron_open_reconnects(p_project, p_agent), 'server_time', clock_timestamp()
  );
end
$$;

-- Whether a page may make a link of it, or the agent a redirect: any other scheme runs in the page that shows it.
create or replace function public.cron_is_web_address(p_address text)
returns boolean
language sql immutable security definer
set search_path = ''
as $$ select coalesce(p_address ~ '^https?://[^/[:space:][:cntrl:]"''<>\\]+[^[:space:][:cntrl:]"''<>\\]*$' and length(p_address) <= 8000, false) $$;

-- Wakes the agent: what it is asked it reads with its next report.
create or replace function public.cron_wake_keeper(p_project text, p_agent text)
returns void
language sql security definer
set search_path = ''
as $$
  update public.cron_agents a set reconnects = a.reconnects + 1 where a.project_id = p_project and a.agent_id = p_agent
$$;

-- An admin asks to sign a connection in again. `p_redirect_uri`: where the provider shall send the browser; null where
-- there is none (a code is typed in elsewhere). A newer one replaces an open one: there is one verifier on the box.
create or replace function public.cron_reconnect(
  p_project text, p_connection text, p_redirect_uri text default null, p_other_account_ok boolean default false
)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_row public.cron_connection_requests;
  v_agent text;
begin
  perform public.cron_authorise(p_project, 'admin');
  if p_redirect_uri is not null and (not public.cron_is_web_address(p_redirect_uri) or position('#' in p_redirect_uri) > 0) then
    raise exception 'p_redirect_uri must be an address that begins with https:// or http://, without a fragment' using errcode = '22023';
  end if;
  select c.agent_id into v_agent from public.cron_connections c
  where c.project_id = p_project and c.connection_id = p_connection for no key update;
  if not found then
    raise exception 'project "%" has no connection "%"', p_project, p_connection using errcode = '22023';
  end if;
  perform public.cron_end_reconnects(p_project, p_connection, 'replaced by a newer one');
  insert into public.cron_connection_requests (
    project_id, connection_id, agent_id, requested_by, redirect_uri, other_account_ok, requested_at, expires_at
  ) values (
    p_project, p_connection, v_agent, auth.uid(), p_redirect_uri, coalesce(p_other_account_ok, false), clock_timestamp(),
    clock_timestamp() + interval '10 minutes'
  )
  returning * into v_row;
  perform public.cron_wake_keeper(p_project, v_agent);
  insert into public.cron_audit (project_id, actor, actor_name, action, agent_id, request_id, detail)
  values (
    p_project, auth.uid(), public.cron_actor_name(), 'reconnect', v_agent, v_row.id,
    jsonb_build_object('connection_id', p_connection, 'other_account_ok', v_row.other_account_ok)
  );
  return jsonb_build_object(
    'id', v_row.id, 'agent_id', v_agent, 'expires_at', v_row.expires_at, 'server_time', clock_timestamp()
  );
end
$$;

-- The sign-in of this id that the calling person began and that is still open; else raises 22023, in the same words for
-- every reason, so that nobody learns of another's.
create or replace function public.cron_own_reconnect(p_project text, p_id uuid)
returns public.cron_connection_requests
language plpgsql security definer
set search_path = ''
as $$
declare
  v_row public.cron_connection_requests;
begin
  select r.* into v_row from public.cron_connection_requests r
  where r.project_id = p_project and r.id = p_id and r.requested_by is not distinct from auth.uid()
    and r.status in ('asked', 'waiting', 'given') and r.expires_at > clock_timestamp()
  for no key update;
  if not found then
    raise exception 'this sign-in is not yours, or it is over' using errcode = '22023', hint = 'Press Reconnect again.';
  end if;
  return v_row;
end
$$;

-- The page hands over what the provider sent back: once, the person who began it, with the state that the agent made.
create or replace function public.cron_reconnect_code(p_project text, p_id uuid, p_state text, p_code text)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_row public.cron_connection_requests;
begin
  perform public.cron_authorise(p_project, 'admin');
  v_row := public.cron_own_reconnect(p_project, p_id);
  if v_row.status <> 'waiting' or v_row.state is null then
    raise exception 'this sign-in does not wait for a code' using errcode = '22023', hint = 'Press Reconnect again.';
  elsif p_state is distinct from v_row.state then
    raise exception 'the state is another sign-in''s' using errcode = '22023', hint = 'Press Reconnect again.';
  elsif coalesce(p_code, '') = '' or length(p_code) > 4096 then
    raise exception 'p_code must be 1 to 4096 characters' using errcode = '22023';
  end if;
  insert into public.cron_connection_codes (request_id, code) values (p_id, p_code);
  update public.cron_connection_requests r set status = 'given' where r.id = p_id;
  perform public.cron_wake_keeper(p_project, v_row.agent_id);
  return jsonb_build_object('id', p_id, 'status', 'given', 'server_time', clock_timestamp());
end
$$;

-- The person who began it leaves it.
create or replace function public.cron_reconnect_cancel(p_project text, p_id uuid)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  perform public.cron_authorise(p_project, 'admin');
  perform public.cron_own_reconnect(p_project, p_id);
  perform public.cron_finish_reconnect(p_id, 'cancelled');
  return jsonb_build_object('id', p_id, 'status', 'error', 'server_time', clock_timestamp());
end
$$;

-- The end of a sign-in; `p_error` null: it worked. What belongs to it alone (state, addresses) goes.
create or replace function public.cron_finish_reconnect(p_id uuid, p_error text)
returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  delete from public.cron_connection_codes c where c.request_id = p_id;
  update public.cron_connection_requests r
  set
    status = case when p_error is null then 'done' else 'error' end, error = left(p_error, 500), completed_at = clock_timestamp(),
    state = null, authorization_url = null, verification_uri = null, user_code = null
  where r.id = p_id;
  update public.cron_audit a
  set outcome = case when p_error is null then 'done' when p_error = 'cancelled' then 'cancelled' else 'error' end,
    outcome_at = clock_timestamp()
  where a.request_id = p_id and a.action = 'reconnect';
end
$$;

-- The agent's word on a sign-in: {"authorization_url", "state"} or {"verification_uri", "user_code"} to begin with, then
-- {"done": true} or {"error": text}. Answers `closed` where it is over already (expired, cancelled, replaced).
create or replace function public.cron_reconnect_answer(p_project text, p_agent text, p_epoch integer, p_id uuid, p_answer jsonb)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch, 'keep');
  v_row public.cron_connection_requests;
begin
  if v_stale is not null then
    return v_stale;
  end if;
  select r.* into v_row from public.cron_connection_requests r
  where r.project_id = p_project and r.agent_id = p_agent and r.id = p_id and r.status in ('asked', 'waiting', 'given')
    and r.expires_at > clock_timestamp()
  for no key update;
  if not found then
    return jsonb_build_object('outcome', 'closed', 'server_time', clock_timestamp());
  end if;
  if p_answer ? 'error' then
    perform public.cron_finish_reconnect(p_id, coalesce(nullif(p_answer ->> 'error', ''), 'it failed'));
  elsif p_answer -> 'done' = 'true' then
    perform public.cron_finish_reconnect(p_id, null);
  elsif v_row.status <> 'asked' then
    return jsonb_build_object('outcome', 'closed', 'server_time', clock_timestamp());
  elsif p_answer ? 'authorization_url' then
    if not public.cron_is_web_address(p_answer ->> 'authorization_url') or coalesce(length(p_answer ->> 'state'), 0) not between 16 and 500 then
      raise exception 'authorization_url must be an https:// or http:// address, state 16 to 500 characters' using errcode = '22023';
    end if;
    update public.cron_connection_requests r
    set status = 'waiting', authorization_url = p_answer ->> 'authorization_url', state = p_answer ->> 'state' where r.id = p_id;
  elsif p_answer ? 'verification_uri' then
    if not public.cron_is_web_address(p_answer ->> 'verification_uri') or coalesce(length(p_answer ->> 'user_code'), 0) not between 1 and 100 then
      raise exception 'verification_uri must be an https:// or http:// address, user_code 1 to 100 characters' using errcode = '22023';
    end if;
    update public.cron_connection_requests r
    set status = 'waiting', verification_uri = p_answer ->> 'verification_uri', user_code = p_answer ->> 'user_code' where r.id = p_id;
  else
    raise exception 'p_answer must have authorization_url, verification_uri, done or error' using errcode = '22023';
  end if;
  return jsonb_build_object('outcome', 'accepted', 'server_time', clock_timestamp());
end
$$;

-- The agent takes the code. Once: afterwards nobody has it but the box.
create or replace function public.cron_reconnect_take(p_project text, p_agent text, p_epoch integer, p_id uuid)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_stale jsonb := public.cron_enter(p_project, p_agent, p_epoch, 'keep');
  v_code text;
begin
  if v_stale is not null then
    return v_stale;
  end if;
  delete from public.cron_connection_codes c
  using public.cron_connection_requests r
  where c.request_id = p_id and r.id = p_id and r.project_id = p_project and r.agent_id = p_agent and r.status = 'given'
    and r.expires_at > clock_timestamp()
  returning c.code into v_code;
  return jsonb_build_object('code', v_code, 'server_time', clock_timestamp());
end
$$;

revoke all on function
  public.cron_end_reconnects(text, text, text), public.cron_open_reconnects(text, text), public.cron_count_reconnects(text, text),
  public.cron_read_connection(text, text, jsonb), public.cron_report_connections(text, text, integer, jsonb, text[]),
  public.cron_is_web_address(text), public.cron_wake_keeper(text, text), public.cron_reconnect(text, text, text, boolean), public.cron_own_reconnect(text, uuid),
  public.cron_reconnect_code(text, uuid, text, text), public.cron_reconnect_cancel(text, uuid),
  public.cron_finish_reconnect(uuid, text), public.cron_reconnect_answer(text, text, integer, uuid, jsonb),
  public.cron_reconnect_take(text, text, integer, uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.cron_report_connections(text, text, integer, jsonb, text[]), public.cron_reconnect(text, text, text, boolean),
  public.cron_reconnect_code(text, uuid, text, text), public.cron_reconnect_cancel(text, uuid),
  public.cron_reconnect_answer(text, text, integer, uuid, jsonb), public.cron_reconnect_take(text, text, integer, uuid)
  to authenticated, service_role;
