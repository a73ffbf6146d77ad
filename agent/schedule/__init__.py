"""When a job is due, and which runs that makes."""
