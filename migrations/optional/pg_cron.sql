-- OPTIONAL. With the extension pg_cron the database tends itself: also where no agent is alive and no page is open.
--   * every minute: requests expire, are cancelled or rejected, and what an agent held that has been silent for 10 minutes is
--     given up as lost (queued again where the job's `retry.on` names it); live output of ended runs goes. Agents that
--     are alive go on rescuing from each other within a lease, as without pg_cron.
--   * every night (03:17, pg_cron's clock is UTC): retention, 50 rows at a time. Beats leave it alone then; where a night
--     fails, they do it again after 26 hours.
-- Run it after the migrations, as their owner (in the SQL editor you are). Again changes nothing. Take it back with:
--   select cron.unschedule('cronmirror: tend'); select cron.unschedule('cronmirror: prune');
--   update cron_projects set pruned_by_cron_at = null;
--
-- pg_cron can also queue a run for the Mac, which runs it when it is there. Put your project and job in:
--   select cron.schedule('backup on the Mac', '0 3 * * *',
--     $$select public.cron_request_run('home-lab', 'nightly-backup', p_requested_by => 'pg_cron')$$);
-- A schedule in the agent's own YAML needs none of this and runs without the network, too.

do $$
begin
  if to_regprocedure('public.cron_prune_all(double precision, interval)') is null then
    raise exception 'the Cronmirror migrations are missing, or older than this file'
      using hint = 'Apply them first: cronmirror migrate, or paste the output of cronmirror migrate --print.';
  end if;
  if not exists (select 1 from pg_extension where extname = 'pg_cron') then
    raise exception 'the extension pg_cron is not enabled in this database'
      using hint = 'Supabase: Integrations → Cron → enable (or: create extension pg_cron;), then run this file again.';
  end if;
  perform cron.schedule('cronmirror: tend', '* * * * *', 'call public.cron_tend()');
  perform cron.schedule('cronmirror: prune', '17 3 * * *', 'call public.cron_prune_all()');
  update public.cron_projects set pruned_by_cron_at = clock_timestamp();
end
$$;
