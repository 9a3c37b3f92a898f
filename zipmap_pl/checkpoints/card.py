"""The model card of weights: what they are, how they were made, on which data under which licences, and figures."""

from collections.abc import Sequence

from zipmap_pl.checkpoints.description import Description, figures, rows
from zipmap_pl.checkpoints.published import PUBLISHED_TERMS
from zipmap_pl.errors import UserError

NON_COMMERCIAL = "cc-by-nc-4.0"  # of the published weights, and what is trained from them
UNKNOWN = "other"


def licence_of(told: Description, asked: str | None) -> str:
    """The hub's name for the licence. Raises UserError if another one than that of the published weights is asked for."""
    bound = told.terms == PUBLISHED_TERMS
    if bound and asked not in (None, NON_COMMERCIAL):
        raise UserError(
            f"--license {asked}: these weights started from published ones under CC BY-NC 4.0; leave --license out"
        )
    return NON_COMMERCIAL if bound else asked or UNKNOWN


def model_card(told: Description, repository: str, licence: str) -> str:
    """The README.md of the repository, with the hub's settings at its head."""
    from huggingface_hub import ModelCardData

    head = ModelCardData(
        license=licence, library_name="zipmap_pl", tags=["zipmap", "3d-reconstruction"], pipeline_tag="image-to-3d"
    )
    facts = [row for row in rows(told) if row[0] != "size" and not _has_its_own_table(row[0], told)]
    blocks = [
        f"---\n{head.to_yaml()}\n---",
        f"# {repository.rpartition('/')[2]}",
        "Weights of ZipMap (feed-forward 3D reconstruction in linear time), trained with zipmap_pl.",
        f"```\nzipmap reconstruct my_photos/ --checkpoint {repository} --output result/\n```",
        "## What it is",
        _table(("", ""), facts),
        "## Data and licences",
        _data(told),
        told.terms and f"The weights themselves: {told.terms}.",
        "## Figures",
        _figures(told),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _has_its_own_table(name: str, told: Description) -> bool:
    values = told.history.validation.values if told.history and told.history.validation else {}
    return name == "terms" or name.startswith("trained on ") or name in values


def _data(told: Description) -> str:
    trained_on = told.history.trained_on if told.history else {}
    if not trained_on:
        return "The checkpoint does not say what it was trained on."
    table = _table(("dataset", "licence, in short"), list(trained_on.items()))
    return f"{table}\n\nSummaries by zipmap_pl, not legal advice: read the owners' texts."


def _figures(told: Description) -> str:
    history = told.history
    if history is None or history.validation is None:
        return "The checkpoint holds none."
    found = [(name, f"{value:.4g}", "" if base is None else f"{base:.4g}") for name, value, base in figures(history)]
    raw = " These are of the weights before averaging." if history.averages else ""
    where = f"Validation on {history.validation.scenes} scenes at step {history.validation.step}.{raw}"
    return f"{where} The baseline is a predictor that has learned nothing.\n\n{_table(('metric', 'value', 'baseline'), found)}"


def _table(head: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *cells])
