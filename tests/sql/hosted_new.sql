-- Default privileges of projects created since 2026-10-30: nothing to anybody, functions included.
alter default privileges for role hosted_owner revoke execute on functions from public;
