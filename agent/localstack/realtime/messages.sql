-- The schema `realtime` as far as users of a Supabase project see it: the table whose policies say who may read and write
-- a private topic, and the functions that broadcast from SQL. Installed at every start; safe to run again.
--
-- On hosted projects the table is partitioned by day; here old rows are deleted instead. Nobody can tell by its columns.

create schema if not exists realtime;
grant usage on schema realtime to anon, authenticated, service_role;

create table if not exists realtime.messages (
    topic text not null,
    extension text not null,
    payload jsonb,
    event text,
    private boolean default false,
    updated_at timestamp not null default now(),
    inserted_at timestamp not null default now(),
    id uuid not null default gen_random_uuid(),
    binary_payload bytea,
    primary key (id, inserted_at)
);
create index if not exists messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
where extension = 'broadcast' and private is true;
alter table realtime.messages enable row level security;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;

-- The topic that a policy is asked about.
create or replace function realtime.topic() returns text language sql stable as $$
    select nullif(current_setting('realtime.topic', true), '')::text
$$;

-- Broadcast from SQL: the row is the message, told when its transaction commits. With the caller's rights, as hosted;
-- what goes wrong is a warning and nothing more. A payload without `id` gets that of its row.
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void language plpgsql as $$
declare
    v_id uuid = gen_random_uuid();
    v_payload jsonb = payload;
begin
    if not v_payload ? 'id' then
        v_payload = jsonb_set(v_payload, '{id}', to_jsonb(v_id));
    end if;
    perform set_config('realtime.topic', topic, true);
    insert into realtime.messages (id, payload, event, topic, private, extension)
    values (v_id, v_payload, event, topic, private, 'broadcast');
exception when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end
$$;

-- The same with bytes; subscribers that speak protocol version 1.0.0 cannot hear them.
create or replace function realtime.send_binary(payload bytea, event text, topic text, private boolean default true)
returns void language plpgsql as $$
begin
    perform set_config('realtime.topic', topic, true);
    insert into realtime.messages (binary_payload, event, topic, private, extension)
    values (payload, event, topic, private, 'broadcast');
exception when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end
$$;

-- For row triggers: broadcasts what happened to a row on a private topic.
create or replace function realtime.broadcast_changes(
    topic_name text, event_name text, operation text, table_name text, table_schema text,
    new record, old record, level text default 'ROW'
)
returns void language plpgsql as $$
begin
    if level = 'STATEMENT' then
        raise exception 'function can only be triggered for each row, not for each statement';
    end if;
    if operation not in ('INSERT', 'UPDATE', 'DELETE') then
        raise exception 'Unexpected operation type: %', operation;
    end if;
    perform realtime.send(
        jsonb_build_object(
            'old_record', old, 'record', new, 'operation', operation, 'table', table_name, 'schema', table_schema
        ),
        event_name, topic_name
    );
exception when others then
    raise exception 'Failed to process the row: %', sqlerrm;
end
$$;

-- Only new rows: the change feed has no use for their deletion.
do $$
begin
    if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime_messages_publication') then
        create publication supabase_realtime_messages_publication for table realtime.messages with (publish = 'insert');
    end if;
exception when duplicate_object then
    null;
end
$$;

-- May somebody read a private topic? Rows of it are written, looked at with their rights, and undone by the caller's
-- rollback: the policies for SELECT on realtime.messages decide. Presence is looked at only where it is wanted.
create or replace function realtime_local.may_read(
    p_role text, p_claims text, p_headers text, p_topic text, p_presence boolean
)
returns table (broadcast boolean, presence boolean)
language plpgsql volatile set search_path = '' as $$
declare
    v_broadcast uuid = gen_random_uuid();
    v_presence uuid = gen_random_uuid();
begin
    if p_role not in ('anon', 'authenticated', 'service_role') then
        raise exception 'role % is not a subscriber''s role', p_role;
    end if;
    insert into realtime.messages (id, topic, extension) values (v_broadcast, p_topic, 'broadcast');
    if p_presence then
        insert into realtime.messages (id, topic, extension) values (v_presence, p_topic, 'presence');
    end if;
    perform
        pg_catalog.set_config('request.jwt.claims', p_claims, true),
        pg_catalog.set_config('request.headers', p_headers, true),
        pg_catalog.set_config('realtime.topic', p_topic, true),
        pg_catalog.set_config('search_path', 'public, extensions', true),
        pg_catalog.set_config('role', p_role, true);
    return query select
        exists (select from realtime.messages m where m.id = v_broadcast and m.topic = p_topic),
        p_presence and exists (select from realtime.messages m where m.id = v_presence and m.topic = p_topic);
end
$$;

-- May somebody write to a private topic? The policies for INSERT decide, and those for SELECT as well: the genuine
-- server wants the row that it wrote returned. To be rolled back by the caller.
create or replace function realtime_local.may_write(
    p_role text, p_claims text, p_headers text, p_topic text, p_extension text
) returns boolean
language plpgsql volatile set search_path = '' as $$
declare
    v_id uuid;
begin
    if p_role not in ('anon', 'authenticated', 'service_role') then
        raise exception 'role % is not a subscriber''s role', p_role;
    end if;
    perform
        pg_catalog.set_config('request.jwt.claims', p_claims, true),
        pg_catalog.set_config('request.headers', p_headers, true),
        pg_catalog.set_config('realtime.topic', p_topic, true),
        pg_catalog.set_config('search_path', 'public, extensions', true),
        pg_catalog.set_config('role', p_role, true);
    insert into realtime.messages (topic, extension) values (p_topic, p_extension) returning id into v_id;
    return v_id is not null;
exception when insufficient_privilege then
    return false;
end
$$;
