-- What PostgREST's schema cache knows, as far as this stack serves it: the schema public.

-- name: tables
-- One row per table or view: its columns (name → type, in order).
select c.relname as name,
       json_object_agg(a.attname, format_type(a.atttypid, a.atttypmod) order by a.attnum) as columns
from pg_catalog.pg_class c
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
group by c.oid, c.relname;

-- name: functions
-- One row per function that can be called with named arguments; trigger functions are none of them.
select p.proname as name,
       p.proretset as returns_set,
       p.provolatile <> 'v' as read_only,
       p.prorettype = 'void'::regtype as returns_void,
       t.typtype = 'c' or p.prorettype = 'record'::regtype as returns_row,
       p.provariadic <> 0 as variadic,
       p.pronargdefaults as defaults,
       coalesce(
         (select json_agg(json_build_object('name', coalesce(p.proargnames[i], ''), 'type', format_type(arg, null)) order by i)
          from unnest(p.proargtypes::oid[]) with ordinality as args (arg, i)),
         '[]'
       ) as inputs,
       p.proallargtypes is null or (
         select bool_and(mode in ('i', 'v') or i > p.pronargs) from unnest(p.proargmodes) with ordinality as modes (mode, i)
       ) as inputs_first
from pg_catalog.pg_proc p
join pg_catalog.pg_type t on t.oid = p.prorettype
where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'
  and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype);
