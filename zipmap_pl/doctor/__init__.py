"""What a bug report needs to say about this machine, and whether the package works on it."""
