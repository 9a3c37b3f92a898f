"""Every dataset in the suite, a line each."""

from miniatures import scannet, tartanair

MINIATURES = (scannet.MINIATURE, tartanair.MINIATURE)
