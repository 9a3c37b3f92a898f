"""The mixers, found by name: one file each, with a class `Mixer`, a `SceneMixer`."""
