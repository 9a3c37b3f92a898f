"""One reader per dataset, found by its name."""
