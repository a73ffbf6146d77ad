-- Statements of auth.py, run as supabase_auth_admin (search_path auth).

-- name: user_by_email
select * from auth.users where lower(email) = lower(%(email)s) and aud = 'authenticated';

-- name: user_by_id
select * from auth.users where id = %(id)s;

-- name: session_by_id
select * from auth.sessions where id = %(id)s;

-- name: create_user
-- No row when the address is taken.
insert into auth.users (id, email, encrypted_password, role, email_confirmed_at, raw_app_meta_data, raw_user_meta_data)
values (
  coalesce(%(id)s::uuid, gen_random_uuid()), lower(%(email)s), %(password)s, %(role)s,
  case when %(confirm)s then now() end, %(app_metadata)s, %(user_metadata)s
)
on conflict (lower(email)) do nothing
returning *;

-- name: touch_sign_in
update auth.users set last_sign_in_at = now(), updated_at = now() where id = %(id)s returning *;

-- name: create_session
insert into auth.sessions (user_id) values (%(user_id)s) returning *;

-- name: refreshed_session
update auth.sessions set refreshed_at = now(), updated_at = now() where id = %(id)s;

-- name: grant_token
insert into auth.refresh_tokens (token, user_id, session_id, parent)
values (%(token)s, %(user_id)s, %(session_id)s, %(parent)s);

-- name: token_for_update
-- The token with its session locked: two refreshes of one session come one after the other.
select t.*, t.updated_at + make_interval(secs => %(reuse_s)s) >= now() as reusable
from auth.sessions s
join auth.refresh_tokens t on t.session_id = s.id
where s.id = (select session_id from auth.refresh_tokens where token = %(token)s) and t.token = %(token)s
for update;

-- name: active_token
select * from auth.refresh_tokens where session_id = %(session_id)s and not revoked order by id desc limit 1;

-- name: revoke_token
update auth.refresh_tokens set revoked = true, updated_at = now() where id = %(id)s;

-- name: revoke_family
update auth.refresh_tokens set revoked = true, updated_at = now() where session_id = %(session_id)s and not revoked;

-- name: logout_local
delete from auth.sessions where id = %(session_id)s and user_id = %(user_id)s;

-- name: logout_others
delete from auth.sessions where id <> %(session_id)s and user_id = %(user_id)s;

-- name: logout_global
delete from auth.sessions where user_id = %(user_id)s;
