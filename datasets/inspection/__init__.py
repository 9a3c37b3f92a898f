"""Looking at shards and batches: agreement of depth and cameras, verification, sheets."""
