"""The engine: raw data in, a folder of shards out. `preprocess` is the whole of it."""

from zipmap_pl.preprocess.engine.run import Report, preprocess

__all__ = ["Report", "preprocess"]
