"""torch.compile of the backbone's blocks, and how often that happened.

Each block is compiled for itself, with sizes as variables: a step's number of views and its aspect ratio do not compile
anew. Heads and losses stay as they are.
"""

from torch._dynamo.utils import counters

from zipmap_pl.models.zipmap import ZipMap


def compile_blocks(model: ZipMap, backend: str = "inductor") -> None:
    """Compile frame blocks and scene blocks in place, when they are first called; keys of the state dict stay."""
    # With buffers reused in place, inductor of torch 2.15 writes over the gradient of the fast weight w2: it lies in a slice
    # of the concatenated gradients of the Newton-Schulz step, whose memory is given away while the slice is still needed.
    # On a CPU its vector code (torch 2.14) fills the gradient of w1 with what is no number, if Newton-Schulz is in bfloat16.
    options = {"inplace_buffers": False, "cpp.simdlen": 1} if backend == "inductor" else None
    for block in (*model.aggregator.frame_blocks, *model.aggregator.global_blocks):
        block.compile(dynamic=True, backend=backend, options=options)


def compiled_graphs() -> int:
    """Number of graphs that this process has compiled; if it grows after the first steps, shapes are compiled anew."""
    return int(counters["stats"]["unique_graphs"])
