-- Default privileges of projects created before 2026-10-30: everything to everybody.
alter default privileges for role hosted_owner in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges for role hosted_owner in schema public grant all on functions to anon, authenticated, service_role;
alter default privileges for role hosted_owner in schema public grant all on sequences to anon, authenticated, service_role;
