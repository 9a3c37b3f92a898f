"""Generated rooms with exact depth, masks and cameras: the demonstration's data, and a smoke test without downloads.

There is no raw folder. `--scenes` scenes go to the split "train" and `--heldout` to "heldout". The held-out scenes come
from a seed of their own, derived from `--seed`. Asking for more scenes never changes the first ones.
"""

from zipmap_pl.preprocess.zoo.synthetic.reader import INFO
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader as READER

__all__ = ["INFO", "READER"]
