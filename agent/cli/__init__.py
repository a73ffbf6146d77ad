"""One verb per file, and the one boundary where errors become exit codes."""
