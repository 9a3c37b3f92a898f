"""Every dataset in the suite, a line each."""

from miniatures import hypersim, tartanair

MINIATURES = (hypersim.MINIATURE, tartanair.MINIATURE)
