"""Cameras, rays, pose encoding, unprojection, alignment: pure functions on tensors."""
