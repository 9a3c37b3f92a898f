"""The values that travel between rooms."""
