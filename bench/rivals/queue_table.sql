create table if not exists queue (
  id bigint generated always as identity primary key,
  status text not null default 'queued',
  requested_at timestamptz not null default now(),
  picked_up_at timestamptz,
  completed_at timestamptz,
  exit_code int
);
create index if not exists queue_queued on queue (id) where status = 'queued';

create or replace function say_queued() returns trigger language plpgsql as $$
begin
  notify queue;
  return null;
end $$;
create or replace trigger say_queued after insert on queue for each statement execute function say_queued();

truncate queue;
