"""The edge to Supabase: sign-in, RPC calls and supervised Realtime wake-ups."""
