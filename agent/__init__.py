"""Cronmirror: the agent that runs a box's jobs and mirrors them into Supabase."""
