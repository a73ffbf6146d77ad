-- What the Realtime server runs inside Postgres. Installed at every start; safe to run again.
--
-- The schema is private: nobody but the superuser may use it. Every function pins an empty search path, names from the
-- catalog are quoted with %I, and what a subscriber sent reaches SQL only as a parameter. Subscribers' filters and the
-- tables' policies are evaluated as the subscriber's role, so an operator or function that such a role might plant in
-- `public` runs with that role's rights and no others.

create schema if not exists realtime_local;
revoke all on schema realtime_local from public;

-- What earlier versions installed, and later ones do not call by these arguments.
drop function if exists realtime_local.fan_out(jsonb, jsonb);
drop function if exists realtime_local.payloads(jsonb, jsonb);
drop function if exists realtime_local.sees(jsonb, regclass, jsonb, jsonb, text[], text[]);
drop function if exists realtime_local.holds_for(text, text, text, jsonb, jsonb);

-- The qualified name of a type. Not `regtype::text`: a bare "character" means one character, pg_catalog.bpchar does not.
create or replace function realtime_local.type_name(p_type oid) returns text
language sql stable set search_path = '' as $$
    select format('%I.%I', n.nspname, t.typname)
    from pg_catalog.pg_type t
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    where t.oid = p_type
$$;

-- {column: type oid} of a table as it is now.
create or replace function realtime_local.column_types(p_relation oid) returns jsonb
language sql stable set search_path = '' as $$
    select coalesce(jsonb_object_agg(a.attname, a.atttypid::text), '{}')
    from pg_catalog.pg_attribute a
    where a.attrelid = p_relation and a.attnum > 0 and not a.attisdropped
$$;

-- Names of the primary key's columns; empty without one.
create or replace function realtime_local.key_columns(p_relation oid) returns text[]
language sql stable set search_path = '' as $$
    select coalesce(array_agg(a.attname::text), '{}')
    from pg_catalog.pg_index i
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indrelid = p_relation and i.indisprimary
$$;

-- Names of the columns that a role may SELECT.
create or replace function realtime_local.readable_columns(p_relation oid, p_role text) returns text[]
language sql stable set search_path = '' as $$
    select coalesce(array_agg(a.attname::text), '{}')
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_class c on c.oid = a.attrelid
    where a.attrelid = p_relation and a.attnum > 0 and not a.attisdropped
      and pg_catalog.has_schema_privilege(p_role, c.relnamespace, 'USAGE')
      and pg_catalog.has_column_privilege(p_role, p_relation, a.attnum, 'SELECT')
$$;

-- Whether a role may be told of changes of a table at all: only with its key.
create or replace function realtime_local.may_tell(p_relation oid, p_role text) returns boolean
language sql stable set search_path = '' as $$
    select k.names <> '{}' and k.names <@ realtime_local.readable_columns(p_relation, p_role)
    from (select realtime_local.key_columns(p_relation)) as k (names)
$$;

-- A row of texts, as Postgres writes them, to a row of JSON values. bytea comes as bare hex.
create or replace function realtime_local.cast_row(p_row jsonb, p_types jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
    v_items text;
    v_cast jsonb;
begin
    select string_agg(
        case
            when p_types ->> c.name = '17' then format('(%L, to_jsonb(substr($1 ->> %L::text, 3)))', c.name, c.name)
            else format(
                '(%L, to_jsonb(($1 ->> %L::text)::%s))', c.name, c.name,
                realtime_local.type_name((p_types ->> c.name)::oid)
            )
        end,
        ', '
    )
    into v_items
    from jsonb_object_keys(p_row) as c (name);
    if v_items is null then
        return '{}';
    end if;
    execute 'select jsonb_object_agg(v.key, v.value) from (values ' || v_items || ') as v (key, value)'
    into v_cast using p_row;
    return v_cast;
end
$$;

-- Those fields of a row that may be shown. Of an oversized row, only what fits into 64 bytes.
create or replace function realtime_local.pick(p_row jsonb, p_names text[], p_oversized boolean) returns text
language sql stable set search_path = '' as $$
    select coalesce(jsonb_object_agg(f.key, f.value), '{}')::text
    from jsonb_each(p_row) as f
    where f.key = any (p_names)
      and (not p_oversized or (f.value <> 'null' and octet_length(f.value::text) <= 64))
$$;

-- [{name, type}] of the named columns, in table order.
create or replace function realtime_local.describe(p_relation oid, p_names text[]) returns text
language sql stable set search_path = '' as $$
    select coalesce(
        jsonb_agg(jsonb_build_object('name', a.attname, 'type', t.typname) order by a.attnum), '[]'
    )::text
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type t on t.oid = a.atttypid
    where a.attrelid = p_relation and a.attnum > 0 and a.attname = any (p_names)
$$;

-- The SQL of one filter over r.value (the row) and $2 (the filters), of which it is number p_nth. A row without the column
-- is hidden. Null: unknown operator.
create or replace function realtime_local.filter_test(p_filter jsonb, p_nth bigint, p_type oid) returns text
language plpgsql stable set search_path = '' as $$
declare
    v_type text = realtime_local.type_name(p_type);
    v_left text = format('(r.value ->> %L::text)::%s', p_filter ->> 'column', v_type);
    v_right text = format('($2 -> %s ->> ''value'')', p_nth);
    v_op text = p_filter ->> 'op';
    v_symbol text = case v_op
        when 'eq' then '=' when 'neq' then '<>' when 'lt' then '<' when 'lte' then '<=' when 'gt' then '>'
        when 'gte' then '>=' when 'like' then 'like' when 'ilike' then 'ilike' when 'isdistinct' then 'is distinct from'
        when 'match' then '~' when 'imatch' then '~*'
    end;
    v_test text;
begin
    if v_symbol is not null then
        v_test = format('%s %s %s::%s', v_left, v_symbol, v_right, v_type);
    elsif v_op = 'in' then
        v_test = format(
            '%s = any (%s::%s)', v_left, v_right,
            (select realtime_local.type_name(t.typarray) from pg_catalog.pg_type t where t.oid = p_type)
        );
    elsif v_op = 'is' and p_filter ->> 'value' in ('null', 'true', 'false', 'unknown') then
        v_test = v_left || ' is ' || (p_filter ->> 'value');
    end if;
    return format(
        case
            when (p_filter ->> 'negate')::boolean then 'r.value ? %L and coalesce(not (%s), false)'
            else 'r.value ? %L and coalesce(%s, false)'
        end,
        p_filter ->> 'column', v_test
    );
end
$$;

-- The question which of the rows $1 (those numbered in $3) somebody sees through the filters $2: all of them must hold,
-- and the live row, found by p_keys, must be there for them. p_keys null: no policies to ask. Null: none, whoever asks.
create or replace function realtime_local.sight(
    p_filters jsonb, p_relation regclass, p_types jsonb, p_readable text[], p_keys text[]
) returns text
language plpgsql stable set search_path = '' as $$
declare
    v_tests text[];
begin
    if exists (
        select from jsonb_array_elements(p_filters) as f
        where not (p_types ? (f ->> 'column') and f ->> 'column' = any (p_readable))
    ) then
        return null;
    end if;
    select array_agg(
        realtime_local.filter_test(f.value, f.ordinality - 1, (p_types ->> (f.value ->> 'column'))::oid)
    )
    into v_tests
    from jsonb_array_elements(p_filters) with ordinality as f;
    if p_keys is not null then
        -- Not `exists`: the planner would make a join of it, and ask the policy about every row of the table.
        v_tests = v_tests || format(
            'coalesce((select true from %s where %s), false)', p_relation,
            (
                select string_agg(
                    format('%I = (r.value ->> %L::text)::%s', k, k, realtime_local.type_name((p_types ->> k)::oid)),
                    ' and '
                )
                from unnest(p_keys) as k
            )
        );
    end if;
    return realtime_local.question(coalesce(array_to_string(v_tests, ' and '), 'true'));
end
$$;

-- A condition over r.value as a question about many rows: the numbers (from 0) of those for which it holds.
create or replace function realtime_local.question(p_condition text) returns text
language sql immutable set search_path = '' as $$
    select 'select coalesce(array_agg((r.ordinality - 1)::int), ''{}'') '
        || 'from jsonb_array_elements($1) with ordinality as r '
        || 'where r.ordinality - 1 = any ($3) and ' || p_condition
$$;

-- Ask a question as each of some subscribers with one role; `seen` and `failed` number the rows that it holds for, and
-- those where a policy or filter failed. Asked about many rows at once: one question costs about as much as one row.
create or replace function realtime_local.ask_as(
    p_role text, p_audiences jsonb, p_question text, p_rows jsonb, p_filters jsonb, p_subject text
) returns table (nth int, seen int[], failed int[])
language plpgsql volatile set search_path = '' as $$
declare
    v_audience jsonb;
    v_numbers int[];
    v_number int;
    v_one int[];
begin
    if p_role not in ('anon', 'authenticated', 'service_role') then
        raise exception 'role % is not a subscriber''s role', p_role;
    end if;
    perform pg_catalog.set_config('search_path', 'public, extensions', true), pg_catalog.set_config('role', p_role, true);
    for v_audience in select a from pg_catalog.jsonb_array_elements(p_audiences) as a loop
        nth = (v_audience ->> 'nth')::int;
        failed = '{}';
        v_numbers = array(select n::int from pg_catalog.jsonb_array_elements_text(v_audience -> 'rows') as n);
        begin
            perform pg_catalog.set_config('request.jwt.claims', v_audience ->> 'claims', true);
            execute p_question into seen using p_rows, p_filters, v_numbers;
        exception when others then
            raise warning 'a policy or filter of % failed: %', p_subject, sqlerrm;
            seen = '{}';
            foreach v_number in array v_numbers loop
                begin
                    perform pg_catalog.set_config('request.jwt.claims', v_audience ->> 'claims', true);
                    execute p_question into v_one using p_rows, p_filters, array[v_number];
                    seen = seen || v_one;
                exception when others then
                    failed = failed || v_number;
                end;
            end loop;
        end;
        return next;
    end loop;
    perform
        pg_catalog.set_config('role', 'none', true),
        pg_catalog.set_config('search_path', '', true),
        pg_catalog.set_config('request.jwt.claims', '', true);
end
$$;

-- A change can be decoded a moment before its transaction is visible: wait for it, at most five seconds.
-- p_xid has 32 bits; the epoch is the one that brings it nearest to now (the snapshot's end may lie on either side).
create or replace function realtime_local.await_visible(p_xid bigint) returns void
language plpgsql volatile set search_path = '' as $$
declare
    v_now bigint = pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    v_full bigint = p_xid + round((v_now - p_xid) / 4294967296.0)::bigint * 4294967296;
    v_end timestamptz = clock_timestamp() + interval '5 seconds';
begin
    while not pg_visible_in_snapshot(v_full::text::xid8, pg_current_snapshot()) and clock_timestamp() < v_end loop
        perform pg_sleep(0.0005);
    end loop;
end
$$;

-- Which rows does each audience [{nth, role, claims, filters, select, rows}] see? `rows` numbers those that concern it.
create or replace function realtime_local.verdicts(
    p_role text, p_audiences jsonb, p_relation regclass, p_rows jsonb, p_types jsonb, p_readable text[], p_keys text[]
) returns table (nth int, seen int[], failed int[])
language plpgsql volatile set search_path = '' as $$
declare
    v_filters jsonb;
    v_group jsonb;
    v_question text;
begin
    for v_filters, v_group in
        select a -> 'filters', jsonb_agg(a) from jsonb_array_elements(p_audiences) as a group by 1
    loop
        if v_filters = '[]' and p_keys is null then
            return query select
                (a ->> 'nth')::int, array(select n::int from jsonb_array_elements_text(a -> 'rows') as n), '{}'::int[]
            from jsonb_array_elements(v_group) as a;
            continue;
        end if;
        v_question = realtime_local.sight(v_filters, p_relation, p_types, p_readable, p_keys);
        if v_question is not null then
            return query select * from realtime_local.ask_as(
                p_role, v_group, v_question, p_rows, v_filters, p_relation::text
            );
        end if;
    end loop;
end
$$;

-- One change {new, old, oversized} to some audiences of one role who see it: one row for each choice of columns.
-- `new` and `old` are {column: text}; `old` holds the replica identity.
create or replace function realtime_local.payloads(
    p_change jsonb, p_deleted boolean, p_relation regclass, p_rls boolean, p_types jsonb, p_audiences jsonb,
    p_readable text[], p_keys text[]
) returns table (audiences int[], record text, columns text, old_record text)
language plpgsql stable set search_path = '' as $$
declare
    v_old jsonb = realtime_local.cast_row(p_change -> 'old', p_types);
    v_oversized boolean = (p_change ->> 'oversized')::boolean;
    v_record jsonb;
    v_select jsonb;
    v_shown text[];
begin
    if not p_deleted then
        -- A large value that an UPDATE did not touch is absent from the new row; the old one may have it.
        v_record = realtime_local.cast_row((p_change -> 'old') || (p_change -> 'new'), p_types);
    end if;
    for v_select, audiences in
        select a -> 'select', array_agg((a ->> 'nth')::int) from jsonb_array_elements(p_audiences) as a group by 1
    loop
        select coalesce(array_agg(n), '{}') into v_shown
        from unnest(p_readable) as n where v_select = 'null' or v_select ? n or n = any (p_keys);
        columns = realtime_local.describe(p_relation, v_shown);
        record = realtime_local.pick(v_record, v_shown, v_oversized);
        if p_deleted and p_rls then -- nobody can be asked any more who may see the row: its key alone
            v_shown = array(select n from unnest(v_shown) as n where n = any (p_keys));
        end if;
        old_record = realtime_local.pick(v_old, v_shown, v_oversized);
        return next;
    end loop;
end
$$;

-- Changes [{xid, new, old, oversized}] of one table, all of one kind, to those whom they concern: one row per payload.
-- Audiences: [{nth, role, claims, filters, select, rows}], `rows` numbering the changes. One that cannot be told (its table
-- or a type was dropped meanwhile) is left out.
create or replace function realtime_local.fan_out(
    p_relation oid, p_action text, p_types jsonb, p_changes jsonb, p_audiences jsonb
) returns table (change int, audiences int[], record text, columns text, old_record text, errors text[])
language plpgsql volatile set search_path = '' as $$
declare
    v_deleted boolean = p_action = 'DELETE';
    v_relation regclass;
    v_rls boolean;
    v_keys text[];
    v_rows jsonb;
    v_role text;
    v_of_role jsonb;
    v_readable text[];
    v_seers jsonb;
    v_failed jsonb;
begin
    perform realtime_local.await_visible(x::bigint)
    from (select distinct c ->> 'xid' from jsonb_array_elements(p_changes) as c) as xids (x);
    select c.oid, c.relrowsecurity into v_relation, v_rls from pg_catalog.pg_class c where c.oid = p_relation;
    if not found then
        return;
    end if;
    v_keys = realtime_local.key_columns(v_relation);
    select jsonb_agg(c.value -> case when v_deleted then 'old' else 'new' end order by c.ordinality) into v_rows
    from jsonb_array_elements(p_changes) with ordinality as c;
    for v_role, v_of_role in select a ->> 'role', jsonb_agg(a) from jsonb_array_elements(p_audiences) as a group by 1 loop
        v_readable = realtime_local.readable_columns(v_relation, v_role);
        if not v_deleted and (v_keys = '{}' or not v_keys <@ v_readable) then
            return query select
                n::int, array_agg((a ->> 'nth')::int), '{}', '[]', '{}', array[
                    case
                        when v_keys = '{}' then 'Error 400: Bad Request, no primary key' else 'Error 401: Unauthorized'
                    end
                ]
            from jsonb_array_elements(v_of_role) as a, jsonb_array_elements_text(a -> 'rows') as n group by n;
            continue;
        end if;
        with verdicts as (
            select v.*, a.value as audience
            from realtime_local.verdicts(
                v_role, v_of_role, v_relation, v_rows, p_types, v_readable,
                case when v_rls and not v_deleted then v_keys end
            ) as v
            join jsonb_array_elements(v_of_role) as a on (a ->> 'nth')::int = v.nth
        )
        select
            (
                select jsonb_object_agg(s.n, s.audiences) from (
                    select n, jsonb_agg(jsonb_build_object('nth', v.nth, 'select', v.audience -> 'select')) as audiences
                    from verdicts as v, unnest(v.seen) as n group by n
                ) as s
            ),
            (
                select jsonb_object_agg(f.n, f.audiences) from (
                    select n, jsonb_agg(v.nth) as audiences from verdicts as v, unnest(v.failed) as n group by n
                ) as f
            )
        into v_seers, v_failed;
        for change in select n::int from jsonb_object_keys(v_seers) as n loop
            begin
                errors = case
                    when (p_changes -> change ->> 'oversized')::boolean then array['Error 413: Payload Too Large']
                end;
                for audiences, record, columns, old_record in
                    select p.* from realtime_local.payloads(
                        p_changes -> change, v_deleted, v_relation, v_rls, p_types, v_seers -> change::text, v_readable, v_keys
                    ) as p
                loop
                    return next;
                end loop;
            exception when others then
                raise warning 'a change of % could not be told: %', v_relation, sqlerrm;
            end;
        end loop;
        return query select
            f.key::int, array(select n::int from jsonb_array_elements_text(f.value) as n), '{}', '[]', '{}',
            array['Error 500: Internal Server Error, RLS policy evaluation failed']
        from jsonb_each(coalesce(v_failed, '{}')) as f;
    end loop;
end
$$;

-- How many published tables a binding names. Raises what the genuine server raises for a bad filter or selection.
create or replace function realtime_local.check_binding(
    p_role text, p_schema text, p_table text, p_filters jsonb, p_select text[]
) returns int
language plpgsql volatile set search_path = '' as $$
declare
    v_tables int = 0;
    v_relation regclass;
    v_readable text[];
    v_types jsonb;
    v_filter jsonb;
    v_name text;
begin
    for v_relation in
        select format('%I.%I', p.schemaname, p.tablename)::regclass
        from pg_catalog.pg_publication_tables p
        where p.pubname = 'supabase_realtime'
          and p_schema in ('*', p.schemaname) and p_table in ('*', p.tablename)
    loop
        v_tables = v_tables + 1;
        v_readable = realtime_local.readable_columns(v_relation, p_role);
        v_types = realtime_local.column_types(v_relation);
        for v_filter in select f from jsonb_array_elements(p_filters) as f loop
            v_name = v_filter ->> 'column';
            if not v_name = any (v_readable) then
                raise exception 'invalid column for filter %', v_name;
            end if;
            perform realtime_local.check_filter(p_role, v_filter, (v_types ->> v_name)::oid);
        end loop;
        foreach v_name in array coalesce(p_select, '{}') loop
            if not v_name = any (v_readable) then
                raise exception 'invalid column for select %', v_name;
            end if;
        end loop;
    end loop;
    return v_tables;
end
$$;

-- Ask a question about one row as somebody without claims, only to see whether it can be asked.
create or replace function realtime_local.try_as(p_role text, p_question text, p_rows jsonb, p_filters jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
    v_seen int[];
begin
    if p_role not in ('anon', 'authenticated', 'service_role') then
        raise exception 'role % is not a subscriber''s role', p_role;
    end if;
    perform
        pg_catalog.set_config('request.jwt.claims', '{}', true),
        pg_catalog.set_config('search_path', 'public, extensions', true),
        pg_catalog.set_config('role', p_role, true);
    execute p_question into v_seen using p_rows, p_filters, array[0];
    perform
        pg_catalog.set_config('role', 'none', true),
        pg_catalog.set_config('search_path', '', true),
        pg_catalog.set_config('request.jwt.claims', '', true);
end
$$;

-- Raise unless the filter's value fits the column's type and the operator exists for it.
create or replace function realtime_local.check_filter(p_role text, p_filter jsonb, p_type oid) returns void
language plpgsql volatile set search_path = '' as $$
declare
    v_op text = p_filter ->> 'op';
    v_value text = p_filter ->> 'value';
    v_type regtype = p_type::regtype;
    v_values int;
begin
    if v_op = 'in' then
        execute format(
            'select cardinality($1::%s)',
            (select realtime_local.type_name(t.typarray) from pg_catalog.pg_type t where t.oid = p_type)
        ) into v_values using v_value;
        if v_values > 100 then
            raise exception 'too many values for `in` filter. Maximum 100';
        end if;
    elsif v_op = 'is' then
        if v_value not in ('null', 'true', 'false', 'unknown') then
            raise exception 'invalid value for is filter: must be null, true, false, or unknown';
        elsif v_value <> 'null' and v_type <> 'boolean'::regtype then
            raise exception 'is % filter requires a boolean column, got %', v_value, v_type;
        end if;
    elsif v_op in ('match', 'imatch') then
        begin
            perform '' ~ v_value;
        exception when others then
            raise exception 'invalid regular expression for % filter: %', v_op, sqlerrm;
        end;
    elsif v_op not in ('like', 'ilike') then
        execute format('select $1::%s', realtime_local.type_name(p_type)) using v_value;
    end if;
    begin
        perform realtime_local.try_as(
            p_role, realtime_local.question(realtime_local.filter_test(p_filter, 0, p_type)),
            jsonb_build_array(
                jsonb_build_object(p_filter ->> 'column', case when v_op in ('in', 'is') then null else v_value end)
            ),
            jsonb_build_array(p_filter)
        );
    exception when others then
        raise exception 'operator % is not supported on column % of type %: %', v_op, p_filter ->> 'column', v_type, sqlerrm;
    end;
end
$$;

-- The publication that Supabase projects are born with.
do $$
begin
    if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
    end if;
exception when duplicate_object then
    null;
end
$$;
