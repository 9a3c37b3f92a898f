"""What a prediction is worth: torchmetrics classes over pure functions."""
