"""Building blocks that the mixers, heads and tokenizer share."""
