"""What mixes tokens over a scene: the kinds of scene block and what they remember."""
