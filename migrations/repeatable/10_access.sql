-- Access: who the caller is, what he may do, and the row level security that says the same.

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

drop function if exists public.cron_enter(text, text, integer);

-- The version of this schema. Files of an older version refuse to run over a newer one.
create or replace function public.cron_schema_version()
returns integer
language sql immutable
set search_path = ''
as $$ select 1 $$;

-- Whether the caller is beyond projects: the service key, or somebody at the database itself (SQL editor, pg_cron).
-- Rule: by `session_user` or the token's role, never by `current_user`, which inside these functions is their owner.
-- A superuser who has taken on a lesser role (Realtime, "impersonate" in the dashboard) is that role.
create or replace function public.cron_is_trusted()
returns boolean
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_token_role text := nullif(auth.role(), '');
  v_set_role text := nullif(nullif(current_setting('role', true), 'none'), '');
  v_owner oid := (select relowner from pg_catalog.pg_class where oid = 'public.cron_projects'::regclass);
begin
  if v_token_role is not null then
    return v_token_role = 'service_role';
  end if;
  return pg_has_role(session_user, v_owner, 'member') and pg_has_role(coalesce(v_set_role, session_user), v_owner, 'member');
end
$$;

-- The one authorisation call at the start of every RPC: returns the caller's role or raises 42501.
-- `p_need`: read, operate, admin, agent (his own id), keep (the same, about connections), hello (the same, or not bound to
-- an id yet). open_access gives everybody all of it except admin and keep (it never opens edits, connections or members),
-- and except to act as an agent that signs in: one call of the anon key could stop its schedules for good.
create or replace function public.cron_authorise(p_project text, p_need text, p_agent text default null)
returns text
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_role text;
  v_bound text;
begin
  if coalesce(p_project, '') = '' or length(p_project) > 200 then
    raise exception 'p_project must be 1 to 200 characters' using errcode = '22023';
  end if;
  if p_need in ('agent', 'keep', 'hello') and (coalesce(p_agent, '') = '' or length(p_agent) > 200) then
    raise exception 'p_agent must be 1 to 200 characters' using errcode = '22023';
  end if;
  if public.cron_is_trusted() then
    return 'service';
  end if;
  select m.role, m.agent_id into v_role, v_bound
  from public.cron_project_members m
  where m.project_id = p_project and m.user_id = auth.uid();
  if v_role is not null and (case p_need
    when 'read' then true
    when 'operate' then v_role in ('operator', 'admin')
    when 'admin' then v_role = 'admin'
    when 'agent' then v_role = 'agent' and v_bound = p_agent
    when 'keep' then v_role = 'agent' and v_bound = p_agent
    when 'hello' then v_role = 'agent' and (v_bound = p_agent or v_bound is null and not exists (
      select 1 from public.cron_project_members o where o.project_id = p_project and o.agent_id = p_agent
    ))
    else false
  end) then
    return v_role;
  end if;
  if p_need not in ('admin', 'keep') and exists (select 1 from public.cron_projects p where p.project_id = p_project and p.open_access) then
    if p_need not in ('agent', 'hello') or not exists (
      select 1 from public.cron_project_members o where o.project_id = p_project and o.agent_id = p_agent
    ) then
      return 'open_access';
    end if;
    raise exception 'agent "%" of project "%" has a user of its own', p_agent, p_project using errcode = '42501',
      hint = 'Sign in as that user, or give this agent another id.';
  end if;
  if v_role is null then
    raise exception 'you are not a member of project "%"', p_project using errcode = '42501',
      hint = case when auth.uid() is null then 'Sign in first.' else 'Ask an admin of the project to add you.' end;
  end if;
  raise exception 'role "%" in project "%" does not allow this (needed: %)', v_role, p_project, case p_need
    when 'operate' then 'operator or admin'
    when 'admin' then 'admin'
    else format('agent, bound to "%s"; yours is %s', p_agent, coalesce(quote_ident(v_bound), 'not bound'))
  end using errcode = '42501';
end
$$;

-- The start of every agent RPC but hello: authorises, serialises the calls of one agent, compares the epoch.
-- `p_need`: agent or keep. Returns null when the call may go on, else the answer `superseded`. An epoch that the server never gave out (it was
-- restored from a backup, or the agent was removed) is 55000, which PostgREST answers as 500: the agent says hello anew.
create or replace function public.cron_enter(p_project text, p_agent text, p_epoch integer, p_need text default 'agent')
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_epoch integer;
begin
  perform public.cron_authorise(p_project, p_need, p_agent);
  if p_epoch is null then
    raise exception 'p_epoch must not be null' using errcode = '22023';
  end if;
  perform 1 from public.cron_agent_beats b where b.project_id = p_project and b.agent_id = p_agent for no key update;
  select a.epoch into v_epoch from public.cron_agents a where a.project_id = p_project and a.agent_id = p_agent;
  if v_epoch is null or p_epoch > v_epoch then
    raise exception 'agent "%" has no epoch % here: say hello first', p_agent, p_epoch using errcode = '55000';
  end if;
  if p_epoch < v_epoch then
    return jsonb_build_object('superseded', true, 'epoch', v_epoch, 'server_time', clock_timestamp());
  end if;
  return null;
end
$$;

-- Projects whose rows the caller may read. Definer, for a member policy that reads its own table recurses.
-- Never trusts the session: Realtime checks these policies from a superuser's session.
create or replace function public.cron_readable()
returns text[]
language sql stable security definer
set search_path = ''
as $$
  select coalesce(array_agg(p.project_id), '{}')
  from public.cron_projects p
  where p.open_access
    or exists (select 1 from public.cron_project_members m where m.project_id = p.project_id and m.user_id = auth.uid())
$$;

-- Projects of which the caller is a member: those whose connections he may see. open_access does not count.
create or replace function public.cron_membered()
returns text[]
language sql stable security definer
set search_path = ''
as $$
  select coalesce(array_agg(m.project_id), '{}') from public.cron_project_members m where m.user_id = auth.uid()
$$;

-- Projects in which the caller may queue, cancel and pause.
create or replace function public.cron_operable()
returns text[]
language sql stable security definer
set search_path = ''
as $$
  select coalesce(array_agg(p.project_id), '{}')
  from public.cron_projects p
  where p.open_access or exists (
    select 1 from public.cron_project_members m
    where m.project_id = p.project_id and m.user_id = auth.uid() and m.role in ('operator', 'admin')
  )
$$;

-- Projects whose members and audit the caller may read. open_access does not count.
create or replace function public.cron_administered()
returns text[]
language sql stable security definer
set search_path = ''
as $$
  select coalesce(array_agg(m.project_id), '{}')
  from public.cron_project_members m
  where m.user_id = auth.uid() and m.role = 'admin'
$$;

-- Nobody writes these tables directly, whatever grants or policies somebody adds later.
-- Here `current_user` is right: inside our functions it is their owner, in a direct statement the caller's role.
create or replace function public.cron_refuse_direct_write()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if current_user in ('anon', 'authenticated', 'service_role') then
    raise exception '% on % is refused: it is written through the cron_* functions only', lower(tg_op), tg_table_name
      using errcode = '42501', hint = 'See docs/rpc.md: cron_request_run, cron_cancel_request, …';
  end if;
  return null;
end
$$;

-- Every table: RLS on, nobody's direct rights but those stated here, by name; the guard against all other writes.
-- Older hosted projects grant everything to anon by default and new ones nothing: nothing is inherited.
do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'cron_projects', 'cron_project_members', 'cron_mirror', 'cron_run_requests', 'cron_leases', 'cron_agents',
    'cron_agent_beats', 'cron_runs', 'cron_run_logs', 'cron_pruned_slots', 'cron_audit', 'cron_connections',
    'cron_connection_requests', 'cron_connection_codes', 'cron_notifications', 'cron_notice_claims', 'cron_snoozes'
  ] loop
    execute format('alter table public.%I enable row level security', v_table);
    execute format('revoke all on table public.%I from public, anon, authenticated, service_role', v_table);
    execute format(
      'create or replace trigger cronmirror_refuse_direct_write before %s on public.%I '
      'for each statement execute function public.cron_refuse_direct_write()',
      case v_table when 'cron_run_requests' then 'update or delete or truncate' else 'insert or update or delete or truncate' end,
      v_table
    );
  end loop;
end
$$;

revoke all on sequence public.cron_audit_id_seq from public, anon, authenticated, service_role;
grant select on
  public.cron_projects, public.cron_mirror, public.cron_run_requests, public.cron_agents, public.cron_agent_beats,
  public.cron_runs, public.cron_run_logs, public.cron_notifications, public.cron_snoozes
  to anon, authenticated, service_role;
grant select on public.cron_project_members, public.cron_audit, public.cron_connections, public.cron_connection_requests
  to authenticated, service_role;
grant insert (id, project_id, job_id, requested_by, requested_at, status) on public.cron_run_requests
  to anon, authenticated, service_role;

-- Policies of a UI builder are OR-ed with ours and apply to PUBLIC. So ours come twice: a permissive one that opens,
-- and a restrictive one per verb that nobody's `using (true)` gets around.
do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'cron_projects', 'cron_mirror', 'cron_run_requests', 'cron_agents', 'cron_agent_beats', 'cron_runs', 'cron_notifications',
    'cron_snoozes'
  ] loop
    execute format('drop policy if exists cronmirror_read on public.%I', v_table);
    execute format(
      'create policy cronmirror_read on public.%I for select to public '
      'using (project_id = any ((select public.cron_readable())::text[]))', v_table
    );
    execute format('drop policy if exists cronmirror_only_read on public.%I', v_table);
    execute format(
      'create policy cronmirror_only_read on public.%I as restrictive for select to public '
      'using (project_id = any ((select public.cron_readable())::text[]))', v_table
    );
  end loop;
  foreach v_table in array array['cron_mirror', 'cron_run_requests'] loop
    execute format('drop policy if exists cronmirror_no_update on public.%I', v_table);
    execute format(
      'create policy cronmirror_no_update on public.%I as restrictive for update to public using (false) with check (false)', v_table
    );
    execute format('drop policy if exists cronmirror_no_delete on public.%I', v_table);
    execute format('create policy cronmirror_no_delete on public.%I as restrictive for delete to public using (false)', v_table);
  end loop;
end
$$;

drop policy if exists cronmirror_queue on public.cron_run_requests;
create policy cronmirror_queue on public.cron_run_requests for insert to public
  with check (project_id = any ((select public.cron_operable())::text[]));
drop policy if exists cronmirror_only_queue on public.cron_run_requests;
create policy cronmirror_only_queue on public.cron_run_requests as restrictive for insert to public
  with check (project_id = any ((select public.cron_operable())::text[]));
drop policy if exists cronmirror_no_insert on public.cron_mirror;
create policy cronmirror_no_insert on public.cron_mirror as restrictive for insert to public with check (false);

-- Logs have no project of their own: who sees the run sees its output.
drop policy if exists cronmirror_read on public.cron_run_logs;
create policy cronmirror_read on public.cron_run_logs for select to public
  using (exists (select 1 from public.cron_runs r where r.id = run_id));

drop policy if exists cronmirror_read on public.cron_project_members;
create policy cronmirror_read on public.cron_project_members for select to authenticated
  using (user_id = (select auth.uid()) or project_id = any ((select public.cron_administered())::text[]));

drop policy if exists cronmirror_read on public.cron_audit;
create policy cronmirror_read on public.cron_audit for select to authenticated
  using (project_id = any ((select public.cron_administered())::text[]));

-- Notices about connections are the members', like the connections.
drop policy if exists cronmirror_only_members on public.cron_notifications;
create policy cronmirror_only_members on public.cron_notifications as restrictive for select to public
  using (type not like 'integration\_%' or project_id = any ((select public.cron_membered())::text[]));

drop policy if exists cronmirror_read on public.cron_connections;
create policy cronmirror_read on public.cron_connections for select to authenticated
  using (project_id = any ((select public.cron_membered())::text[]));
drop policy if exists cronmirror_only_read on public.cron_connections;
create policy cronmirror_only_read on public.cron_connections as restrictive for select to public
  using (project_id = any ((select public.cron_membered())::text[]));

-- A sign-in is seen by the admin who began it and nobody else: its address has the state in it, with which a code is
-- handed over.
drop policy if exists cronmirror_read on public.cron_connection_requests;
create policy cronmirror_read on public.cron_connection_requests for select to authenticated
  using (requested_by = (select auth.uid()) and project_id = any ((select public.cron_administered())::text[]));
drop policy if exists cronmirror_only_read on public.cron_connection_requests;
create policy cronmirror_only_read on public.cron_connection_requests as restrictive for select to public
  using (requested_by = (select auth.uid()) and project_id = any ((select public.cron_administered())::text[]));

revoke all on function
  public.cron_schema_version(), public.cron_is_trusted(), public.cron_authorise(text, text, text),
  public.cron_enter(text, text, integer, text), public.cron_readable(), public.cron_membered(), public.cron_operable(),
  public.cron_administered(), public.cron_refuse_direct_write()
  from public, anon, authenticated, service_role;
grant execute on function
  public.cron_schema_version(), public.cron_readable(), public.cron_membered(), public.cron_operable(),
  public.cron_administered()
  to anon, authenticated, service_role;
