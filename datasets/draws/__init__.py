"""Which samples a step sees: pure functions of seed, stage, step and slot."""
