"""What we are compared with: each program runs the same processes, against the same Postgres."""
