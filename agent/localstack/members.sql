-- Statements of members.py, run as superuser: what a person of a hosted project does in the SQL editor.

-- name: add_project
insert into public.cron_projects (project_id) values (%(project)s) on conflict do nothing;

-- name: add_member
insert into public.cron_project_members (project_id, user_id, role) values (%(project)s, %(user_id)s, %(role)s)
on conflict (project_id, user_id) do update set role = excluded.role;

-- name: remove_member
delete from public.cron_project_members m using auth.users u
where m.user_id = u.id and m.project_id = %(project)s and lower(u.email) = lower(%(email)s)
returning m.user_id;

-- name: user_of
select id from auth.users where lower(email) = lower(%(email)s);

-- name: set_password
update auth.users set encrypted_password = %(password)s, updated_at = now() where id = %(user_id)s;

-- name: end_sessions
-- Whoever knew the old password is signed out.
delete from auth.sessions where user_id = %(user_id)s;

-- name: members
select m.project_id as project, u.email, m.role, m.agent_id, u.last_sign_in_at
from public.cron_project_members m join auth.users u on u.id = m.user_id
order by m.project_id, m.role, u.email;
