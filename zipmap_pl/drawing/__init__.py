"""Pictures for people: depth in colour, cameras from above, sheets. Numpy only, so that every room may use it."""
