"""ZipMap with PyTorch Lightning: linear-time feed-forward 3D reconstruction that people train themselves.

Importing this package imports nothing heavy; the rooms below it do so where they need it.
"""

from typing import TYPE_CHECKING, Any

from zipmap_pl.version import __version__

if TYPE_CHECKING:
    from zipmap_pl.checkpoints.published import from_published
    from zipmap_pl.inference.from_photos import reconstruct

__all__ = ["__version__", "from_published", "reconstruct"]


def __getattr__(name: str) -> Any:
    """`zipmap_pl.from_published` and `zipmap_pl.reconstruct`, imported when they are asked for: they need torch."""
    if name == "from_published":
        from zipmap_pl.checkpoints.published import from_published

        return from_published
    if name == "reconstruct":
        from zipmap_pl.inference.from_photos import reconstruct

        return reconstruct
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
