-- Where the OAuth connections of agents stand, and the way to sign one in again from a page. No token is in any of it:
-- tokens stay on the agent's box.

create table if not exists public.cron_connections (
  id uuid primary key default gen_random_uuid(),
  project_id text not null,
  connection_id text not null check (connection_id <> '' and length(connection_id) <= 200),
  agent_id text not null,
  provider text not null,
  account text,
  scopes text[] not null default '{}',
  is_active boolean not null default false,
  token_expires_at timestamptz,
  needs_reauth boolean not null default false,
  last_refresh_at timestamptz,
  last_refresh_error text check (length(last_refresh_error) <= 500),
  last_failure_kind text check (last_failure_kind in ('transient', 'permanent', 'rate_limit')),
  consecutive_failures integer not null default 0,
  consecutive_transient_failures integer not null default 0,
  updated_at timestamptz not null default now(),
  unique (project_id, connection_id)
);

-- What a sweep asks: which tokens expire soon, of those that can be refreshed without anybody.
create index if not exists cron_connections_expiring_idx
  on public.cron_connections (project_id, token_expires_at) where is_active and not needs_reauth;

-- Grows with everything that people ask of an agent's connections: the agent hears of its own row through Realtime.
alter table public.cron_agents add column if not exists reconnects integer not null default 0;

-- One sign-in, from the press of Reconnect to its end. Published, so that the page hears of each step; therefore the code
-- that the provider hands over is not here.
create table if not exists public.cron_connection_requests (
  id uuid primary key default gen_random_uuid(),
  project_id text not null,
  connection_id text not null,
  agent_id text not null,
  kind text not null default 'reconnect' check (kind in ('reconnect')),
  requested_by uuid,
  requested_at timestamptz not null default now(),
  status text not null default 'asked' check (status in ('asked', 'waiting', 'given', 'done', 'error')),
  authorization_url text,
  verification_uri text,
  user_code text,
  redirect_uri text,
  state text,
  other_account_ok boolean not null default false,
  error text,
  expires_at timestamptz not null,
  completed_at timestamptz
);

create index if not exists cron_connection_requests_project_id_requested_at_idx
  on public.cron_connection_requests (project_id, requested_at desc);
create unique index if not exists cron_connection_requests_open_idx
  on public.cron_connection_requests (project_id, connection_id) where status in ('asked', 'waiting', 'given');

-- The codes, from the moment a page hands one over until the agent takes it. Nobody reads this table.
create table if not exists public.cron_connection_codes (
  request_id uuid primary key references public.cron_connection_requests (id) on delete cascade,
  code text not null
);
