-- Statements of backup.py and restore.py, run as superuser.

-- name: tables
-- Everything that could hold somebody's rows.
select format('%I.%I', n.nspname, c.relname)
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
order by 1;

-- name: swap
-- One transaction: whoever looks finds the old database or the new one under its name. No one may be connected.
alter database postgres rename to replaced;
alter database restoring rename to postgres;
