"""Puts a fixed scene into TensorBoard: its panel, its queried views and its points as a mesh that can be turned."""

from torch.utils.tensorboard import SummaryWriter

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.training.watching.image_panel import image_panel, predicted_cloud, query_panel

MATERIAL = {"material": {"cls": "PointsMaterial", "size": 0.02}}


def show_scene(writer: SummaryWriter, batch: Batch, prediction: Prediction, step: int, scenes: str) -> None:
    """Write the first scene of a batch and what the model says of it.

    scenes: what it is one of, see `DataConfig.validated_scenes`; unless that is "held-out", names and titles say it.
    """
    kind = "" if scenes == "held-out" else f" ({scenes} scenes)"
    title = f"{batch.dataset[0]} {batch.scene[0]}{kind}, step {step}"
    writer.add_image(f"fixed scene{kind}", image_panel(batch, prediction, title), step, dataformats="HWC")
    if prediction.nvs_pred is not None:
        panel = query_panel(batch, prediction, f"{title}: queried views")
        writer.add_image(f"queried views{kind}", panel, step, dataformats="HWC")
    points, colours = predicted_cloud(batch, prediction)
    if len(points):
        writer.add_mesh(
            f"predicted points{kind}", points[None], colors=colours[None], config_dict=MATERIAL, global_step=step
        )
