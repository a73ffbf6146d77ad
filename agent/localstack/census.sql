-- name: census
select current_setting('server_version') as postgres,
  pg_database_size(current_database()) as database_bytes,
  public.cron_schema_version() as schema,
  (select count(*) from auth.users) as users,
  (select count(*) from public.cron_projects) as projects,
  (select count(*) from public.cron_project_members) as members;
