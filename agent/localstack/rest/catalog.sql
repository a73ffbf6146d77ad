-- What PostgREST's schema cache knows, as far as this stack serves it: the schema public.

-- name: tables
-- One row per table or view: its columns (name, type, base type, default that an insert may fill in), and its key.
select c.relname as name,
       c.relkind in ('v', 'm') as is_view,
       json_agg(
         json_build_object(
           'name', a.attname,
           'type', format_type(a.atttypid, a.atttypmod),
           'base', case when t.typtype = 'd' then format_type(t.typbasetype, null) else format_type(a.atttypid, null) end,
           'default', case
             when a.attidentity <> '' then
               format('nextval(%L::regclass)', pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname))
             when a.attgenerated <> '' then null
             when t.typtype = 'd' and d.adbin is null then pg_get_expr(t.typdefaultbin, 0)
             else pg_get_expr(d.adbin, d.adrelid)
           end
         ) order by a.attnum
       ) as columns,
       coalesce(
         (select json_agg(k.attname order by array_position(i.indkey::int2[], k.attnum))
          from pg_catalog.pg_index i
          join pg_catalog.pg_attribute k on k.attrelid = i.indrelid and k.attnum = any (i.indkey::int2[])
          where i.indrelid = c.oid and i.indisprimary),
         '[]'
       ) as key,
       coalesce(
         (select json_object_agg(p.proname, format_type(p.prorettype, null))
          from pg_catalog.pg_proc p
          where p.pronamespace = c.relnamespace and p.pronargs = 1 and p.proargtypes[0] = c.reltype
            and not p.proretset and p.prokind = 'f'),
         '{}'
       ) as computed
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where n.nspname = 'public' and c.relkind in ('r', 'p', 'v', 'm', 'f')
group by c.oid, n.oid;

-- name: foreign_keys
-- One row per foreign key between two of them; `sole`: its columns are unique, so that the way back leads to one row.
select c.conname as name,
       r.relname as origin,
       f.relname as target,
       (select json_agg(a.attname order by u.place)
        from unnest(c.conkey) with ordinality u (number, place)
        join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = u.number) as columns,
       (select json_agg(a.attname order by u.place)
        from unnest(c.confkey) with ordinality u (number, place)
        join pg_catalog.pg_attribute a on a.attrelid = c.confrelid and a.attnum = u.number) as target_columns,
       exists (
         select from pg_catalog.pg_constraint k
         where k.conrelid = c.conrelid and k.contype in ('p', 'u') and k.conkey @> c.conkey and k.conkey <@ c.conkey
       ) as sole
from pg_catalog.pg_constraint c
join pg_catalog.pg_class r on r.oid = c.conrelid
join pg_catalog.pg_class f on f.oid = c.confrelid
where c.contype = 'f' and c.conparentid = 0
  and r.relnamespace = 'public'::regnamespace and f.relnamespace = 'public'::regnamespace
order by r.relname, c.conname;

-- name: functions
-- One row per function; trigger functions are none of them.
select p.proname as name,
       p.proretset as returns_set,
       p.provolatile <> 'v' as read_only,
       p.prorettype = 'void'::regtype as returns_void,
       t.typtype = 'c' or coalesce(p.proargmodes::text[] && '{t,b,o}', false) as returns_row,
       (select c.relname from pg_catalog.pg_class c
        where c.oid = t.typrelid and c.relnamespace = p.pronamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')) as returns_table,
       coalesce(
         (select json_object_agg(coalesce(p.proargnames[m.place], ''), format_type(p.proallargtypes[m.place], null) order by m.place)
          from unnest(p.proargmodes) with ordinality m (mode, place) where m.mode in ('t', 'b', 'o')),
         (select json_object_agg(a.attname, format_type(a.atttypid, null) order by a.attnum)
          from pg_catalog.pg_attribute a
          where a.attrelid = t.typrelid and t.typrelid <> 0 and a.attnum > 0 and not a.attisdropped),
         '{}'
       ) as outputs,
       p.provariadic <> 0 as variadic,
       coalesce(
         (select json_agg(
            json_build_object('name', coalesce(named.name, ''), 'type', format_type(args.type, null)) order by args.place)
          from unnest(p.proargtypes::oid[]) with ordinality args (type, place)
          left join (
            select n.name, row_number() over (order by n.place) as place
            from unnest(p.proargnames) with ordinality n (name, place)
            where p.proargmodes is null or p.proargmodes[n.place] in ('i', 'b', 'v')
          ) named using (place)),
         '[]'
       ) as inputs,
       p.pronargdefaults as defaults,
       (select split_part(setting, '=', 2) from unnest(p.proconfig) setting where setting like 'statement\_timeout=%') as timeout
from pg_catalog.pg_proc p
join pg_catalog.pg_type t on t.oid = p.prorettype
where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'
  and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype);

-- name: types
-- The types that a select may cast to. Those that name objects of the catalog (regclass, …) are left out.
select t.typname as name, format_type(t.oid, null) as spelling
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where n.nspname in ('pg_catalog', 'public', 'extensions') and t.typtype in ('b', 'd', 'e', 'r', 'm')
  and t.typname !~ '^(_|reg|pg_)' and (t.typrelid = 0)
order by n.nspname = 'pg_catalog';

-- name: roles
-- The settings of each role that a request may run as; PostgREST applies them, for `set role` does not.
select r.rolname as role, split_part(pair, '=', 1) as name, substr(pair, strpos(pair, '=') + 1) as value
from pg_catalog.pg_db_role_setting s
join pg_catalog.pg_roles r on r.oid = s.setrole
cross join unnest(s.setconfig) pair
join pg_catalog.pg_settings known on known.name = split_part(pair, '=', 1) and known.context = 'user'
where r.rolname in ('anon', 'authenticated', 'service_role') and s.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database()))
order by s.setdatabase;
