"""The shard format: schema, index, codings, and reading any frame."""
