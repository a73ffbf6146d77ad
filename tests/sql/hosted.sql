-- What a hosted Supabase project has before anybody's first migration, as far as ours touch it. Its owner is no
-- superuser there, so neither is it here. Run by the superuser in a new database; roles are made once per server.
do $$
declare
  v_role record;
begin
  for v_role in
    select * from (values
      ('hosted_owner', 'login bypassrls createrole'), ('anon', 'nologin noinherit'), ('authenticated', 'nologin noinherit'),
      ('service_role', 'nologin noinherit bypassrls'), ('authenticator', 'login noinherit')
    ) r (name, options)
  loop
    if to_regrole(v_role.name) is null then
      execute format('create role %I %s', v_role.name, v_role.options);
    end if;
  end loop;
end
$$;

grant anon, authenticated, service_role to authenticator, hosted_owner;
grant create, usage on schema public to hosted_owner;
grant usage on schema public to anon, authenticated, service_role;

create schema auth;
grant usage on schema auth to hosted_owner, anon, authenticated, service_role;

create function auth.jwt() returns jsonb language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''), nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;

create function auth.uid() returns uuid language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
  )::uuid
$$;

create function auth.role() returns text language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.role', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
  )::text
$$;

create publication supabase_realtime;
alter publication supabase_realtime owner to hosted_owner;
