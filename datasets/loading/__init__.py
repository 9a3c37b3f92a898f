"""From a draw to a batch: mixture, samples, augmentation, sequential reading."""
