-- Every query of the journal. `-- name:` begins one; the comment after it says what it is for.

-- name: known_run
-- What is recorded of a run.
select status from runs where run_id = :run_id;

-- name: slot_run
-- The recorded run of a slot and attempt.
select run_id, status from runs
where job_id = :job_id and scheduled_for = :scheduled_for and attempt = :attempt;

-- name: forget_run
-- Takes a `missed` row away, for the run that takes its slot over.
delete from runs where run_id = :run_id;

-- name: insert_run
-- A run that was not known before.
insert into runs (
  run_id, job_id, trigger, status, attempt, reason, request_id, claims, scheduled_for,
  started_at, finished_at, duration_ms, exit_code, output, error, recorded_at
) values (
  :run_id, :job_id, :trigger, :status, :attempt, :reason, :request_id, :claims, :scheduled_for,
  :started_at, :finished_at, :duration_ms, :exit_code, :output, :error, :recorded_at
);

-- name: finish_run
-- The end of a run whose start is known.
update runs set
  status = :status,
  reason = coalesce(:reason, reason),
  started_at = coalesce(:started_at, started_at),
  finished_at = :finished_at,
  duration_ms = :duration_ms,
  exit_code = :exit_code,
  output = :output,
  error = :error
where run_id = :run_id and status = 'running';

-- name: prune_job
-- All but the last :keep ended runs of a job that ran, and the last :keep that never began (missed, skipped): a night
-- asleep must not push every real run out. What the server has not heard of stays.
delete from runs where n in (
  select n from (
    select n from runs where job_id = :job_id and status <> 'running' and started_at is not null
    order by n desc limit -1 offset :keep
  )
  union all
  select n from (
    select n from runs where job_id = :job_id and status <> 'running' and started_at is null
    order by n desc limit -1 offset :keep
  )
) and not exists (select 1 from outbox where outbox.run_id = runs.run_id);

-- name: forget_outputs
-- Output of all but the last :keep runs of a job that began.
update runs set output = null where output is not null and n in (
  select n from runs where job_id = :job_id and started_at is not null order by n desc limit -1 offset :keep
);

-- name: prune_age
-- Ended runs that were recorded too long ago, and of which the server has heard.
delete from runs
where recorded_at < :before and status <> 'running'
  and not exists (select 1 from outbox where outbox.run_id = runs.run_id);

-- name: free_pages
-- Pages that hold nothing.
pragma freelist_count;

-- name: give_back
-- Returns a free page to the disk.
pragma incremental_vacuum(1);

-- name: begun
-- Whether a run of this claim was recorded.
select exists (select 1 from runs where request_id = :request_id and claims = :claims);

-- name: unfinished
-- Runs that began and did not end. `exec` runs belong to another process, which may be alive.
select * from runs where status = 'running' and trigger <> 'exec' order by n;

-- name: unreported_requests
-- Requests that must not return to the queue: their run goes on, or its reports are still here.
select request_id from runs where status = 'running' and request_id is not null
union
select request_id from outbox where request_id is not null;

-- name: latest_runs
-- Local history, newest first.
select * from runs where :job_id is null or job_id = :job_id order by n desc limit :limit;

-- name: runs_between
-- The run with this id, or the beginning of one.
select * from runs where run_id between :first and :last limit 2;

-- name: enqueue
-- One more report to send.
insert into outbox (run_id, request_id, report, bytes, output_bytes)
values (:run_id, :request_id, :report, :bytes, :output_bytes);

-- name: outbox_size
-- Bytes of all reports, those set aside included.
select bytes from outbox_size;

-- name: outbox_waiting
-- How much is to be sent, and which entry is the oldest.
select count(*) as reports, coalesce(sum(bytes), 0) as bytes, min(seq) as oldest from outbox where aside is null;

-- name: set_aside_entries
-- What the server refuses for good, newest first.
select report, aside, count(*) over () as total from outbox where aside is not null order by seq desc limit :limit;

-- name: running_now
-- What runs now, `exec` included.
select * from runs where status = 'running' order by n;

-- name: oldest_outputs
-- Entries that still carry output, oldest first.
select seq, report, output_bytes from outbox where output_bytes > 0 order by seq limit 100;

-- name: least_missed
-- What Supabase would miss least: slots that did not run, then the oldest runs by schedule. Never a request's, and
-- never a start: its end comes.
select seq from outbox where request_id is null and json_extract(report, '$.status') <> 'running'
order by json_extract(report, '$.status') not in ('missed', 'skipped'), seq limit :limit;

-- name: pending
-- The oldest entries to send.
select seq, report, bytes, without_output from outbox where aside is null order by seq limit :limit;

-- name: has_pending
-- Whether there is anything to send.
select exists (select 1 from outbox where aside is null);

-- name: newest_pending
-- The youngest entry to send.
select coalesce(max(seq), 0) from outbox where aside is null;

-- name: entry
-- One entry.
select run_id, report from outbox where seq = :seq;

-- name: replace_report
-- The same report without its output.
update outbox set report = :report, bytes = :bytes, output_bytes = 0, without_output = 1 where seq = :seq;

-- name: set_aside
-- Never send this entry again.
update outbox set aside = :why where seq = :seq;

-- name: dequeue
-- The server has answered.
delete from outbox where seq = :seq;

-- name: reject_run
-- Keeps why the server refused a report.
update runs set rejected = :why where run_id = (select run_id from outbox where seq = :seq);

-- name: plan
-- A run that will be wanted, unless its slot already is.
insert into planned (run_id, job_id, trigger, attempt, scheduled_for, due_at, cause)
values (:run_id, :job_id, :trigger, :attempt, :scheduled_for, :due_at, :cause)
on conflict do nothing;

-- name: planned
-- Every planned run, by its instant.
select * from planned order by due_at, rowid;

-- name: unplan
-- The run has begun, or is not wanted any more.
delete from planned where run_id = :run_id;

-- name: cursors
-- Up to where the slots of each job are decided.
select job_id, at from cursors;

-- name: advance
-- Forward only: a clock set back decides nothing twice.
insert into cursors (job_id, at) values (:job_id, :at)
on conflict (job_id) do update set at = max(at, excluded.at);

-- name: get_note
-- One value.
select value from notes where key = :key;

-- name: put_note
-- Set one value.
insert into notes (key, value) values (:key, :value)
on conflict (key) do update set value = excluded.value;

-- name: note_end
-- An end that the notices have to judge: trouble, or the first good end after some.
insert into ended (run_id, final)
select :run_id, :final
where :status <> 'ok'
  or exists (select 1 from standings where subject = 'job:' || :job_id)
  or exists (select 1 from ended);

-- name: has_ended
-- Whether the notices have something to judge.
select exists (select 1 from ended);

-- name: ended
-- The oldest ends; a slot that was missed and has been run after all is no longer there.
select ended.seq, ended.final, runs.*
from ended
left join runs on runs.run_id = ended.run_id
order by ended.seq
limit :limit;

-- name: forget_ended
-- They have been judged.
delete from ended where seq <= :seq;

-- name: standings
-- What the notices know.
select subject, state from standings;

-- name: put_standing
-- What is known of one subject now.
insert into standings (subject, state) values (:subject, :state)
on conflict (subject) do update set state = excluded.state;

-- name: drop_standing
-- No trouble any more.
delete from standings where subject = :subject;

-- name: file_notice
-- Once per key.
insert into notices (dedupe_key, filed, at) values (:dedupe_key, :filed, :at)
on conflict (dedupe_key) do nothing;

-- name: filed_notices
-- Those of which somebody has to be told yet.
select seq, filed from notices where done = 0 order by seq;

-- name: keep_notice
-- How far it got.
update notices set filed = :filed, done = :done where seq = :seq;

-- name: prune_notices
-- Old keys; what was given up at last goes with them.
delete from notices where at < :before;
