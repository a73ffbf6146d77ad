-- Notices of shared jobs: in which order the list took them in, and whom a notice is offered to first.

-- `created_at` is when it happened by the clock of whoever says so, which may be long ago; this is the list's own order.
do $$
begin
  if not exists (
    select 1 from pg_attribute
    where attrelid = 'public.cron_notifications'::regclass and attname = 'filed_at' and not attisdropped
  ) then
    alter table public.cron_notifications add column filed_at timestamptz not null default clock_timestamp();
    update public.cron_notifications set filed_at = created_at;
  end if;
end
$$;

create index if not exists cron_notifications_subject_idx
  on public.cron_notifications (project_id, subject, filed_at desc);

-- Whoever brought out the bad news has the first word on the good one, until `expires_at`.
alter table public.cron_notice_claims add column if not exists offered_to text;
