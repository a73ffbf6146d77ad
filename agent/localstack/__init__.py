"""The embedded Supabase-compatible stack: real Postgres and a gateway, on loopback."""
