"""Every setting that a user may want to change; installed as `zipmap_pl.conf`."""
