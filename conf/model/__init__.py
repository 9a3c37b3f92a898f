"""Settings: sizes of the network."""
