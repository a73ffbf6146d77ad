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

-- name: count_users
select count(*) from auth.users
where aud = 'authenticated'
  and (%(like)s::text is null or email like %(like)s or raw_user_meta_data ->> 'full_name' ilike %(like)s);

-- name: list_users
select * from auth.users
where aud = 'authenticated'
  and (%(like)s::text is null or email like %(like)s or raw_user_meta_data ->> 'full_name' ilike %(like)s)
order by created_at desc, id
limit %(limit)s offset %(offset)s;

-- name: change_user
-- An address that was waiting is settled by one that is set, and a new one waits only while there is none.
update auth.users set
  email = coalesce(%(email)s, email),
  email_change = case when %(email)s::text is null then coalesce(%(new_email)s, email_change) end,
  encrypted_password = coalesce(%(password)s, encrypted_password),
  role = coalesce(%(role)s, role),
  email_confirmed_at = case when %(confirm)s then now() else email_confirmed_at end,
  raw_app_meta_data = (raw_app_meta_data || %(app_metadata)s) - %(app_gone)s::text[],
  raw_user_meta_data = (raw_user_meta_data || %(user_metadata)s) - %(user_gone)s::text[],
  banned_until = case when %(ban)s then now() + %(banned_for)s::interval else banned_until end,
  updated_at = now()
where id = %(id)s
returning *;

-- name: delete_user
delete from auth.users where id = %(id)s;

-- name: bury_user
update auth.users set
  email = rtrim(translate(encode(sha256(convert_to(id || coalesce(email, ''), 'UTF8')), 'base64'), '+/', '-_'), '='),
  email_change = null,
  encrypted_password = null,
  raw_app_meta_data = '{}',
  raw_user_meta_data = '{}',
  deleted_at = now(),
  updated_at = now()
where id = %(id)s and deleted_at is null;

-- name: session_at
select 1 as found from auth.sessions s
join auth.users u on u.id = s.user_id
where lower(u.email) = lower(%(email)s) and s.ip = %(ip)s::inet
limit 1;

-- name: create_session
insert into auth.sessions (user_id, ip, user_agent) values (%(user_id)s, %(ip)s::inet, %(user_agent)s) returning *;

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
delete from auth.sessions where id is distinct from %(session_id)s::uuid and user_id = %(user_id)s;

-- name: logout_global
delete from auth.sessions where user_id = %(user_id)s;
