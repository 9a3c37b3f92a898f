"""Settings: datasets, mixtures, pictures."""
