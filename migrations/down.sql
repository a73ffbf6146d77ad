-- Removes what Cronmirror added and leaves cron_mirror and cron_run_requests with the columns and rows that a user's own
-- UI knows. Both keep row level security switched on and the direct rights they had under Cronmirror (select, and insert
-- on requests): policies that were there before ours are in force again, and where there were none, the tables are closed.
-- The history of runs, the agents, the members and the audit go.

drop trigger if exists cronmirror_begin on public.cron_run_requests;
drop trigger if exists cronmirror_audit on public.cron_run_requests;
drop trigger if exists cronmirror_refuse_direct_write on public.cron_run_requests;
drop trigger if exists cronmirror_refuse_direct_write on public.cron_mirror;

do $$
declare
  v_thing record;
begin
  for v_thing in
    select p.polname, c.relname
    from pg_policy p join pg_class c on c.oid = p.polrelid
    where c.relnamespace = 'public'::regnamespace and p.polname like 'cronmirror\_%'
      and c.relname in (
        'cron_mirror', 'cron_run_requests', 'cron_agents', 'cron_runs', 'cron_projects', 'cron_connections', 'cron_connection_requests',
        'cron_notifications'
      )
  loop
    execute format('drop policy %I on public.%I', v_thing.polname, v_thing.relname);
  end loop;
  for v_thing in
    select t.tgname, c.relname
    from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = 'public'::regnamespace and t.tgname like 'cronmirror\_%'
      and c.relname in (
        'cron_agents', 'cron_runs', 'cron_projects', 'cron_connections', 'cron_connection_requests', 'cron_notifications'
      )
  loop
    execute format('drop trigger %I on public.%I', v_thing.tgname, v_thing.relname);
  end loop;
end
$$;

drop table if exists
  public.cron_connection_codes, public.cron_notice_claims, public.cron_snoozes, public.cron_leases,
  public.cron_audit, public.cron_run_logs, public.cron_pruned_slots, public.cron_agent_beats, public.cron_project_members;

-- What optional/pg_cron.sql scheduled. Jobs of your own that queue runs stay: see `select * from cron.job`.
do $$
begin
  if exists (select 1 from pg_extension where extname = 'pg_cron') then
    perform cron.unschedule(j.jobid) from cron.job j where j.jobname in ('cronmirror: tend', 'cronmirror: prune');
  end if;
end
$$;

drop procedure if exists public.cron_tend(), public.cron_prune_all(double precision, interval);

drop function if exists
  public.cron_schema_version(),
  public.cron_is_trusted(),
  public.cron_authorise(text, text, text),
  public.cron_enter(text, text, integer, text),
  public.cron_readable(),
  public.cron_membered(),
  public.cron_operable(),
  public.cron_administered(),
  public.cron_refuse_direct_write(),
  public.cron_actor_name(),
  public.cron_check_quota(public.cron_run_requests),
  public.cron_begin_request(),
  public.cron_silent_attempt(uuid, integer),
  public.cron_record_silent(uuid[]),
  public.cron_audit_request(),
  public.cron_max_attempts(text, text, integer),
  public.cron_note_results(uuid[]),
  public.cron_close_runs(uuid[]),
  public.cron_end_requests(uuid[], text, text),
  public.cron_lose_requests(uuid[]),
  public.cron_rescuable(text, text, timestamptz, interval),
  public.cron_lock_ended(text, text),
  public.cron_sweep_project(text, text, interval),
  public.cron_close_orphaned_runs(text, timestamptz),
  public.cron_sweep(text),
  public.cron_due(text, text, text[]),
  public.cron_served(text, text, text[]),
  public.cron_pause_of(text, text),
  public.cron_stamp_beat(text, text),
  public.cron_return_unbegun(uuid[]),
  public.cron_hand_back(text, text, jsonb),
  public.cron_recover_held(text, text, boolean, uuid[]),
  public.cron_agent_hello(text, text, integer, uuid, jsonb, uuid[], boolean),
  public.cron_bind_member(text, text),
  public.cron_renew_leases(text, text, jsonb, integer),
  public.cron_show_state(text, text, jsonb),
  public.cron_agent_beat(text, text, integer, jsonb, jsonb, text[], integer),
  public.cron_read_job(text, jsonb),
  public.cron_write_jobs(text, text, public.cron_mirror[]),
  public.cron_drop_jobs(text, text, text[]),
  public.cron_sync_mirror(text, text, integer, bigint, jsonb, text[], timestamptz),
  public.cron_claim_requests(text, text, integer, bigint, text[], integer, integer),
  public.cron_claim_due(text, text, text[], integer, integer),
  public.cron_claimed_rows(text, text, uuid[]),
  public.cron_claim_slot(text, text, integer, text, timestamptz, uuid),
  public.cron_read_report(text, text, jsonb),
  public.cron_finish_request(public.cron_runs, integer, double precision, jsonb),
  public.cron_judge_report(public.cron_runs, public.cron_runs, public.cron_runs),
  public.cron_report_one(text, text, jsonb),
  public.cron_report(text, text, integer, jsonb),
  public.cron_append_logs(text, text, integer, jsonb),
  public.cron_request_run(text, text, jsonb, timestamptz, integer, text, uuid, text),
  public.cron_cancel_request(text, uuid),
  public.cron_set_paused(text, text, timestamptz, text),
  public.cron_set_member(text, uuid, text, text),
  public.get_cron_jobs(text, text, integer),
  public.get_cron_job_runs(text, integer),
  public.cron_run_line(public.cron_runs),
  public.cron_list_runs(text, text, text, text[], text[], timestamptz, timestamptz, jsonb, integer),
  public.cron_recent_runs(text, text[], integer),
  public.cron_table_sizes(text),
  public.cron_old_runs(text, timestamptz, integer),
  public.cron_old_requests(text, timestamptz, integer),
  public.cron_surplus_runs(text, text, integer, integer),
  public.cron_delete_runs(uuid[], boolean),
  public.cron_prune_old(text, timestamptz, integer),
  public.cron_tail(text, integer),
  public.cron_prune_output(text),
  public.cron_prune_step(text),
  public.cron_prune_by_beat(text),
  public.cron_prune(text, integer),
  public.cron_end_reconnects(text, text, text),
  public.cron_open_reconnects(text, text),
  public.cron_count_reconnects(text, text),
  public.cron_read_connection(text, text, jsonb),
  public.cron_report_connections(text, text, integer, jsonb, text[]),
  public.cron_is_web_address(text),
  public.cron_wake_keeper(text, text),
  public.cron_reconnect(text, text, text, boolean),
  public.cron_own_reconnect(text, uuid),
  public.cron_reconnect_code(text, uuid, text, text),
  public.cron_reconnect_cancel(text, uuid),
  public.cron_finish_reconnect(uuid, text),
  public.cron_reconnect_answer(text, text, integer, uuid, jsonb),
  public.cron_reconnect_take(text, text, integer, uuid),
  public.cron_is_snoozed(text, text),
  public.cron_raise(text, text, text, text, text, text, text),
  public.cron_raise_offline(text, timestamptz, interval),
  public.cron_raise_online(text, text),
  public.cron_waiting_notices(text, text),
  public.cron_notify(text, text, integer, jsonb),
  public.cron_file_notice(text, text, jsonb),
  public.cron_claim_notices(text, text, integer, uuid[]),
  public.cron_last_notice(text, text, text[]),
  public.cron_bearer(public.cron_notifications),
  public.cron_good_run(text, text, timestamptz),
  public.cron_hand_over(text, text, uuid, public.cron_notifications, jsonb),
  public.cron_is_news(text, text, text, timestamptz, jsonb),
  public.cron_raise_recovered(text, text[]),
  public.cron_delivered(text, text, integer, jsonb),
  public.cron_read_notifications(text, uuid[]),
  public.cron_snooze(text, text, timestamptz);

drop table if exists
  public.cron_runs, public.cron_agents, public.cron_projects, public.cron_connections, public.cron_connection_requests,
  public.cron_notifications;

drop index if exists public.cron_run_requests_queued_idx, public.cron_run_requests_running_idx, public.cron_run_requests_dedupe_idx;

alter table if exists public.cron_run_requests
  drop constraint if exists cron_run_requests_payload_check,
  drop constraint if exists cron_run_requests_max_attempts_check,
  drop constraint if exists cron_run_requests_claim_check,
  drop column if exists payload,
  drop column if exists run_at,
  drop column if exists expires_at,
  drop column if exists attempts,
  drop column if exists max_attempts,
  drop column if exists last_error,
  drop column if exists claimed_by,
  drop column if exists claims,
  drop column if exists cancel_requested_at,
  drop column if exists dedupe_key;

alter table if exists public.cron_mirror
  drop constraint if exists cron_mirror_placement_check,
  drop column if exists agent_ids,
  drop column if exists placement,
  drop column if exists source,
  drop column if exists description,
  drop column if exists tags,
  drop column if exists accepts,
  drop column if exists timeout_s,
  drop column if exists overlap,
  drop column if exists retry,
  drop column if exists connection_id,
  drop column if exists consecutive_failures,
  drop column if exists paused_until;

notify pgrst, 'reload schema';
