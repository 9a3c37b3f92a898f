"""Every dataset in the suite, a line each."""

from miniatures import tartanair

MINIATURES = (tartanair.MINIATURE,)
