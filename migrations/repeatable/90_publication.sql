-- Realtime: what pages and agents are woken by. Nothing else of ours is ever published.

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

do $$
declare
  v_table text;
begin
  if not exists (select 1 from pg_publication where pubname = 'supabase_realtime') then
    raise warning 'there is no publication supabase_realtime: agents will poll, pages will not move by themselves'
      using hint = 'Enable Realtime for this project, then apply the migrations again.';
    return;
  end if;
  if (select puballtables from pg_publication where pubname = 'supabase_realtime') then
    raise warning 'publication supabase_realtime is FOR ALL TABLES: every renewed lease goes through Realtime, too'
      using hint = 'Publish single tables instead.';
    return;
  end if;
  foreach v_table in array array[
    'cron_mirror', 'cron_run_requests', 'cron_runs', 'cron_agents', 'cron_notifications', 'cron_connection_requests'
  ] loop
    if not exists (
      select 1 from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
      where p.pubname = 'supabase_realtime' and r.prrelid = format('public.%I', v_table)::regclass
    ) and not exists (
      select 1 from pg_publication_namespace n join pg_publication p on p.oid = n.pnpubid
      where p.pubname = 'supabase_realtime' and n.pnnspid = 'public'::regnamespace
    ) then
      execute format('alter publication supabase_realtime add table public.%I', v_table);
    end if;
  end loop;
exception when insufficient_privilege then
  raise warning 'publication supabase_realtime belongs to somebody else: %', sqlerrm
    using hint = 'Let its owner add cron_mirror, cron_run_requests, cron_runs, cron_agents, cron_notifications and cron_connection_requests to it.';
end
$$;

notify pgrst, 'reload schema';
