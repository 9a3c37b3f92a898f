"""The `zipmap` command."""
