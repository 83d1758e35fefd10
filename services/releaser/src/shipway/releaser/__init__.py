"""The releaser."""
