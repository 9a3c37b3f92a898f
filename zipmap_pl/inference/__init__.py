"""Photos or a video in, a scene out: reconstruction, the Scene result and its exporters."""
