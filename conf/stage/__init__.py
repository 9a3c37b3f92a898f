"""Settings: what a stage of training changes."""
