"""Puts a fixed scene into TensorBoard: its panel, its queried views and its points as a mesh that can be turned."""

from torch.utils.tensorboard import SummaryWriter

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.training.watching.image_panel import image_panel, predicted_cloud, query_panel

MATERIAL = {"material": {"cls": "PointsMaterial", "size": 0.02}}


def show_scene(writer: SummaryWriter, batch: Batch, prediction: Prediction, step: int) -> None:
    """Write the first scene of a batch and what the model says of it."""
    title = f"{batch.dataset[0]} {batch.scene[0]}, step {step}"
    writer.add_image("fixed scene", image_panel(batch, prediction, title), step, dataformats="HWC")
    if prediction.nvs_pred is not None:
        panel = query_panel(batch, prediction, f"{title}: queried views")
        writer.add_image("queried views", panel, step, dataformats="HWC")
    points, colours = predicted_cloud(batch, prediction)
    if len(points):
        writer.add_mesh("predicted points", points[None], colors=colours[None], config_dict=MATERIAL, global_step=step)
