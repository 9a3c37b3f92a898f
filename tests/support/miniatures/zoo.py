"""Every dataset in the suite, a line each."""

from miniatures import dl3dv, hypersim, scannet, tartanair, wildrgbd

MINIATURES = (
    dl3dv.MINIATURE,
    dl3dv.WITH_DEPTH,
    hypersim.MINIATURE,
    scannet.MINIATURE,
    tartanair.MINIATURE,
    wildrgbd.MINIATURE,
)
