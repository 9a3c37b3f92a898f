"""Groups of frames that see the same, by the neighbours in the dataset's index.

The published lists of pairs and groups are not public. The index holds at most 32 neighbours of a frame with the share
of pixels seen in both; what lies further is reached through neighbours of neighbours.
"""

import heapq

from zipmap_pl.datasets.view_sampling.rule import SceneFrames

ATTEMPTS = 100  # references that are tried until one has neighbours: scenes may have images that overlap with none


def grow_group(scene: SceneFrames, reference: int, size: int, min_overlap: float) -> list[tuple[int, float]]:
    """At most `size` frames (frame, overlap with the reference), the reference first, by falling overlap.

    The neighbours of the reference, then those of its best neighbour and so on, until there are enough. Of frames that
    are no neighbours of the reference, the overlap is the largest product of overlaps along a way that was found.
    Frames with an overlap of `min_overlap` or less are left out.
    """
    reached = {reference: 1.0}
    heap = [(-1.0, reference)]
    seen: set[int] = set()
    while heap and len(reached) < size:
        overlap, frame = heapq.heappop(heap)
        if frame in seen:
            continue
        seen.add(frame)
        for other, share in scene.neighbours(frame):
            product = -overlap * share
            if product <= min_overlap:
                break  # those that follow overlap less
            if product > reached.get(other, 0.0):
                reached[other] = product
                heapq.heappush(heap, (-product, other))
    others = sorted((pair for pair in reached.items() if pair[0] != reference), key=lambda pair: (-pair[1], pair[0]))
    return [(reference, 1.0), *others[: size - 1]]
