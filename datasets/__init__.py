"""From shards to batches: the shard schema, its index and reader, view sampling, augmentation and the data module.

Installed as `zipmap_pl.datasets`. Code never imports it as `datasets`; the lines below serve third parties who mean Hugging
Face's package of that name while the working directory is this checkout.
"""

if __name__ == "datasets":
    import importlib
    import os
    import sys

    _checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    _paths = sys.path[:]
    del sys.modules["datasets"]
    sys.path[:] = [path for path in _paths if os.path.abspath(path or os.getcwd()) != _checkout]
    try:
        importlib.import_module("datasets")
    finally:
        sys.path[:] = _paths
