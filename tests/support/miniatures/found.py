"""All miniatures, found by their folder: each module of `miniatures.zoo` is a dataset's and offers `MINIATURES`."""

from miniatures import zoo
from miniatures.contract import Miniature

from zipmap_pl import discovery


def all_miniatures() -> list[Miniature]:
    """The miniatures of every dataset, by the name of the dataset."""
    modules = [discovery.load(zoo, name, "miniature", ["MINIATURES"]) for name in discovery.names_in(zoo)]
    return [miniature for module in modules for miniature in module.MINIATURES]
