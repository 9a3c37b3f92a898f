"""Settings as users write them: overrides, YAML groups, and what is wrong with them."""
