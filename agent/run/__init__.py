"""One run: admission, execution, bounded and redacted output, retry."""
