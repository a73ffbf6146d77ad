-- A pause has an owner. `paused_*` is the operators' (cron_set_paused); this one is set on the box itself
-- (`cronmirror pause`), shown here by the agent's beat, and lifted only there.

alter table public.cron_agents
  add column if not exists box_paused_mode text check (box_paused_mode in ('all', 'schedule')),
  add column if not exists box_paused_until timestamptz;
