"""From raw downloads to shards: the engine, one module per dataset, and `formats` that datasets come in. Never imports torch.

Installed as `zipmap_pl.preprocess`.
"""
