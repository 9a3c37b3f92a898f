"""Every dataset in the suite, a line each."""

from miniatures import hypersim, scannet, tartanair

MINIATURES = (hypersim.MINIATURE, scannet.MINIATURE, tartanair.MINIATURE)
