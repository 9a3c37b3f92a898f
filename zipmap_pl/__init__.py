"""ZipMap with PyTorch Lightning: linear-time feed-forward 3D reconstruction that people train themselves.

Importing this package imports nothing heavy; the rooms below it do so where they need it.
"""

__version__ = "0.1.0"
