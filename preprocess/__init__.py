"""From raw downloads to shards: the engine, file-format readers, one module per dataset. Never imports torch.

Installed as `zipmap_pl.preprocess`.
"""
