"""From the raw maps of the dense heads to the fields of a prediction, by the rows of the table."""

from collections.abc import Mapping

from torch import Tensor

from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.contracts.scene_state import SceneState
from zipmap_pl.geometry.pose_encoding import decode_intrinsics
from zipmap_pl.geometry.projection import unproject
from zipmap_pl.models.heads import activations
from zipmap_pl.models.heads.table import DenseRow


def activated(maps: Mapping[DenseRow, Tensor]) -> dict[str, Tensor]:
    """The fields that these heads fill, from their raw maps [B, S, H, W, channels]."""
    filled: dict[str, Tensor] = {}
    for row, raw in maps.items():
        values = getattr(activations, row.activation)(raw)
        filled |= zip(row.fields, values if isinstance(values, tuple) else (values,), strict=True)
    return filled


def prediction_of(poses: list[Tensor], maps: Mapping[DenseRow, Tensor], state: SceneState | None) -> Prediction:
    """From pose encodings [B, S, 9] of every iteration and the raw maps [B, S, H, W, channels] of the heads for images.

    Without a head for local points they are those of the depth and the field of view.
    """
    values = activated(maps)
    if "local_points" not in values:
        z = values["depth"][..., 0]
        values["local_points"] = unproject(z, decode_intrinsics(poses[-1], *z.shape[2:]))
    return Prediction(pose_enc=poses[-1], pose_enc_list=poses, state=state, **values)
