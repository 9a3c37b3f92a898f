"""A scene to files that open elsewhere."""
