"""Newton-Schulz iteration: pulls the singular values of a matrix towards one (as in the Muon optimiser)."""

import torch
from torch import Tensor

from zipmap_pl.models.layers.precision import no_autocast

# The quintic x -> a x + b x^3 + c x^5; five steps bring singular values into about 0.68 ... 1.14, not exactly to 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def newton_schulz(matrices: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """Orthogonalise matrices [N, r, c], computing in `dtype` (also under autocast); the result has that dtype.

    The matrix is divided by its Frobenius norm first; with 0 steps that is all that happens.
    """
    a, b, c = COEFFICIENTS
    transpose = matrices.shape[-2] > matrices.shape[-1]  # the Gram matrix of the shorter side is the cheaper one
    with no_autocast(matrices):
        x = matrices.to(dtype)
        x = x.mT if transpose else x
        x = x / (torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True) + 1e-7)
        for _ in range(steps):
            gram = x @ x.mT
            polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
            x = torch.baddbmm(x, polynomial, x, beta=a)
        return x.mT if transpose else x
