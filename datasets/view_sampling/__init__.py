"""Which views of a scene make a sample: one small class per rule, one file each in `rules/`, found by its name.

A rule has no state and takes all randomness from the generator that it is given. Its cost depends on the number of
views, not on the number of frames of the scene or of the dataset.
"""
