"""Pictures for people: numpy uint8 RGB in and out, numpy and OpenCV only: torch is never imported here."""
