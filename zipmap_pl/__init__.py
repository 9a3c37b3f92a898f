"""ZipMap with PyTorch Lightning: linear-time feed-forward 3D reconstruction that people train themselves.

Importing this package imports nothing heavy; the rooms below it do so where they need it.
"""

from typing import TYPE_CHECKING, Any

from zipmap_pl.version import __version__

if TYPE_CHECKING:
    from zipmap_pl.checkpoints.published import from_published

__all__ = ["__version__", "from_published"]


def __getattr__(name: str) -> Any:
    """`zipmap_pl.from_published`, imported when it is asked for: it needs torch."""
    if name == "from_published":
        from zipmap_pl.checkpoints.published import from_published

        return from_published
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
