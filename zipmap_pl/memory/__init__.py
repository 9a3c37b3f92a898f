"""How much GPU memory a stage takes, computed before a run."""
