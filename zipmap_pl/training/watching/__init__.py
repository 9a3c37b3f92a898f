"""What happens next to the steps: callbacks, images, signals."""
