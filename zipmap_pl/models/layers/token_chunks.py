"""Walking many tokens in parts, and adding up what the parts give: for operators whose memory shall not grow with the tokens."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from zipmap_pl.models.layers.precision import at_least_float32

TOKENS_AT_ONCE = 4096  # of all sequences together: enough to keep a large GPU busy


def chunks(tokens: Tensor) -> Iterator[slice]:
    """Parts of the L tokens of [N, L, d]."""
    sequences, length, _ = tokens.shape
    size = max(1, TOKENS_AT_ONCE // sequences)
    return (slice(start, start + size) for start in range(0, length, size))


def added(sums: list[Tensor], summands: Sequence[Tensor]) -> list[Tensor]:
    """The sums, in float32 at least, with those of one more chunk, in place; the first chunk makes them."""
    wide = [at_least_float32(summand) for summand in summands]
    return [a.add_(b) for a, b in zip(sums, wide, strict=True)] if sums else wide


def as_wide_as(tensors: Sequence[Tensor], sums: Sequence[Tensor]) -> list[Tensor]:
    """The sums in the dtypes of the tensors that they are gradients of."""
    return [a.to(tensor.dtype) for tensor, a in zip(tensors, sums, strict=True)]
