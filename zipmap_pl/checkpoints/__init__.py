"""Our own checkpoint folders, and published formats in and out."""
