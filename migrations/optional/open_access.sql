-- OPTIONAL. Opens ONE project to everybody who has this Supabase project's anon (publishable) key: for a page without
-- sign-in. That key is in the page, so read it as: everybody who has seen the page can
--   * run every job that the agent's YAML declares, with any payload it accepts, cancel and pause;
--   * read every payload, result and output of the project;
--   * act as an agent that does not sign in with a user of its own: forge results, claim requests so that they never
--     run, empty the mirror, and take its place, which stops it and its schedules.
-- It never opens edits, connections or members, and nobody can run what the YAML does not declare.
-- Take it back with: update cron_projects set open_access = false where project_id = '…';
--
-- Put your project's id in place of YOUR-PROJECT, then run this after the migrations.

do $$
declare
  v_project text := 'YOUR-PROJECT';
begin
  if v_project = 'YOUR' || '-PROJECT' then
    raise exception 'write your project id in place of YOUR-PROJECT' using errcode = '22023';
  end if;
  insert into public.cron_projects (project_id, open_access) values (v_project, true)
  on conflict (project_id) do update set open_access = true;
  insert into public.cron_audit (project_id, actor_name, action) values (v_project, session_user, 'open_access');
end
$$;
