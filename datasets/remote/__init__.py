"""Shards behind a URL: ranges of bytes, kept on this machine."""
