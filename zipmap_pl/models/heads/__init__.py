"""From features to cameras, depth, points and colors."""
