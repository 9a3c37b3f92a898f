"""Decode, crop and resample images: one way for preprocessing, training, inference and evaluation. No torch."""
