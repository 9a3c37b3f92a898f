"""Views that come one after another, and sequences longer than a device holds."""
