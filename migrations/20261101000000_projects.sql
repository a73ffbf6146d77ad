-- Projects and their members.
-- Also decides, once, whether a UI that was here before us lived by open policies: then its projects stay open.

do $$
begin
  if to_regprocedure('public.cron_schema_version()') is not null then
    if public.cron_schema_version() > 1 then
      raise exception 'this database has a newer Cronmirror schema (version %) than these files (version 1)', public.cron_schema_version()
        using hint = 'Upgrade cronmirror and run its migrations instead.';
    end if;
  end if;
  if to_regrole('anon') is null or to_regrole('authenticated') is null or to_regrole('service_role') is null
    or to_regprocedure('auth.uid()') is null or to_regprocedure('auth.role()') is null or to_regprocedure('auth.jwt()') is null then
    raise exception 'this is not a Supabase database: roles anon, authenticated and service_role and the functions auth.uid(), auth.role() and auth.jwt() are needed'
      using hint = 'Use the connection string of your Supabase project, or start the embedded stack with: cronmirror demo';
  end if;
end
$$;

-- The UI's tables are looked at before anything of ours touches them, and only the first time: a project that is
-- added later must not become open because an old policy is still there.
-- Open means: the anon key could already read the requests and insert one. Reading alone is not enough, for
-- open_access lets that key run jobs.
do $$
declare
  v_requests_open boolean;
  v_mirror_open boolean;
  v_ids text[] := '{}';
begin
  if to_regclass('public.cron_projects') is not null then
    return;
  end if;

  create table public.cron_projects (
    project_id text primary key check (project_id <> '' and length(project_id) <= 200),
    open_access boolean not null default false,
    paused_until timestamptz,
    paused_mode text check (paused_mode in ('all', 'schedule')),
    created_at timestamptz not null default now(),
    swept_at timestamptz,
    swept_since timestamptz,
    pruned_at timestamptz
  );

  select
    coalesce(bool_or(t.relname = 'cron_run_requests' and t.may_select and t.may_insert), false),
    coalesce(bool_or(t.relname = 'cron_mirror' and t.may_select), false)
  into v_requests_open, v_mirror_open
  from (
    select
      c.relname,
      has_any_column_privilege('anon', c.oid, 'select') and (not c.relrowsecurity or exists (
        select 1 from pg_policy p
        where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('*', 'r')
          and p.polroles && array[0::oid, to_regrole('anon')::oid]
          and pg_get_expr(p.polqual, p.polrelid) = 'true'
      )) as may_select,
      has_any_column_privilege('anon', c.oid, 'insert') and (not c.relrowsecurity or exists (
        select 1 from pg_policy p
        where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('*', 'a')
          and p.polroles && array[0::oid, to_regrole('anon')::oid]
          and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid)) = 'true'
      )) as may_insert
    from pg_class c
    where c.oid in (to_regclass('public.cron_mirror'), to_regclass('public.cron_run_requests'))
  ) t;

  if v_requests_open then
    execute 'select array_agg(distinct project_id) from public.cron_run_requests' into v_ids;
    v_ids := coalesce(v_ids, '{}');
    if v_mirror_open then
      execute 'select $1 || coalesce(array_agg(distinct project_id), ''{}'') from public.cron_mirror' into v_ids using v_ids;
    end if;
    insert into public.cron_projects (project_id, open_access)
    select distinct id, true from unnest(v_ids) id where id <> '' and length(id) <= 200;
    raise warning 'the anon key could already queue requests here: open_access stays on for %',
      (select coalesce(string_agg(project_id, ', ' order by project_id), 'no project') from public.cron_projects)
      using hint = 'Close a project with: update cron_projects set open_access = false where project_id = ''…''';
  end if;
end
$$;

create table if not exists public.cron_project_members (
  project_id text not null references public.cron_projects (project_id) on delete cascade,
  user_id uuid not null,
  role text not null check (role in ('viewer', 'operator', 'admin', 'agent')),
  agent_id text check (agent_id <> '' and length(agent_id) <= 200),
  created_at timestamptz not null default now(),
  primary key (project_id, user_id),
  unique (project_id, agent_id),
  check (agent_id is null or role = 'agent')
);

create index if not exists cron_project_members_user_id_idx on public.cron_project_members (user_id);
