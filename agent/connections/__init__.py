"""Keeps the tokens of connections fresh: one refresh at a time, on disk before it is used, failures told apart."""
