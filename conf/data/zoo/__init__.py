"""The published datasets, one YAML each: where its shards are, its weight, its sampling rule, its depth limits."""
