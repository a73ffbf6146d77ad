"""YAML text becomes a Config of Jobs: every error at once, each with its line."""
