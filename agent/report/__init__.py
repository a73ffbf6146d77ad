"""What happened and what exists: outbox, mirror, beat."""
