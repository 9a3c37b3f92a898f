"""One optimizer step: optimizer, schedule, average of the weights, compilation."""
