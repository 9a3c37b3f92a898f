"""A scene in Python: its points, files, queries, and another world."""

import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from zipmap_pl.contracts.scene import Camera, Scene
from zipmap_pl.contracts.scene_state import SceneState
from zipmap_pl.discovery import load
from zipmap_pl.errors import UserError
from zipmap_pl.geometry.rays import query_rays
from zipmap_pl.inference import exporters
from zipmap_pl.inference.alignment import align_cameras
from zipmap_pl.inference.export import find_exporters, new_folder, write_scene
from zipmap_pl.inference.photo_maps import photo_maps
from zipmap_pl.inference.points import USUAL_POINTS, PointChoice, PointCloud, choose_points
from zipmap_pl.models.zipmap import ZipMap


@dataclass(frozen=True)
class QueriedView:
    """What a model with a query head sees from a camera of h x w pixels.

    Attributes:
        image: [h, w, 3] uint8 RGB.
        depth: [h, w] float32 planar z in the scene's unit.
        confidence: [h, w] float32 of the depth, above 1.
    """

    image: np.ndarray
    depth: np.ndarray
    confidence: np.ndarray


@dataclass
class Reconstruction(Scene):
    """A `Scene`, and what can be done with it.

    Attributes:
        model: that made it, for `query`; set it to None to free its memory.
        state: what the model remembers of the views; None for a model without a query head.
        unit: of the model, in the scene's unit: 1 until `align_to`.
    """

    model: ZipMap | None = field(default=None, repr=False)
    state: SceneState | None = field(default=None, repr=False)
    unit: float = 1.0

    def points(
        self,
        confidence: float = USUAL_POINTS.confidence_percentile,
        max_points: int = USUAL_POINTS.max_points,
        edge_angle: float = USUAL_POINTS.edge_angle,
        sky: bool = USUAL_POINTS.sky,
        voxel: float = USUAL_POINTS.voxel,
        source: str = USUAL_POINTS.source,
    ) -> PointCloud:
        """The points at or above a percentile of the confidence; see `PointChoice` for the rest."""
        return choose_points(self, PointChoice(confidence, max_points, edge_angle, sky, voxel, source))

    def photo_maps(self, view: int) -> tuple[np.ndarray, np.ndarray]:
        """Depth and confidence [H, W] float32 at the size of the user's own photo; 0 outside the crop."""
        return photo_maps(self, view)

    def save(self, path: str | Path, points: PointChoice = USUAL_POINTS) -> None:
        """Write one file, whose suffix names the format (.glb, .ply, .npz, .rrd), or without a suffix a new folder.

        The folder has what `zipmap reconstruct` writes. A file of that name is replaced once the new one is whole.

        Raises:
            UserError: there is no such format, or it is not one file; the folder is there and not empty.
        """
        path = Path(path)
        if not path.suffix:
            with new_folder(path) as folder:
                write_scene(folder, self, find_exporters(), points)
            return
        module = load(exporters, path.suffix[1:].lower(), "exporter", ["write"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".zipmap-") as folder:
            written = list(module.write(Path(folder), self, choose_points(self, points)).values())
            if len(written) != 1 or not written[0].is_file():
                raise UserError(f"{path}: {path.suffix[1:]} is not one file; save to a folder, a path without a suffix")
            os.replace(written[0], path)

    def query(self, camera: Camera) -> QueriedView:
        """What is seen from a camera of this scene's world: for instance a `replace` of one of `model_cameras`.

        Raises:
            UserError: the model has no query head, or is gone.
            ValueError: height or width is no multiple of the model's patch size.
        """
        if self.model is None or self.state is None:
            raise UserError(
                "query: this scene has no model with a query head; the published checkpoint_state_query.pt has"
            )
        device = next(self.model.parameters()).device
        sources, target = torch.from_numpy(self.world_to_cam), torch.from_numpy(camera.world_to_cam)
        rays = query_rays(target[None], torch.from_numpy(camera.intrinsics)[None], *camera.size, sources)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            seen = self.model.query(self.state, rays[None].float().to(device))
        maps = seen.nvs_pred[0, 0].float().cpu().numpy()
        image = np.rint(255 * maps[..., :3].clip(0, 1)).astype(np.uint8)
        confidence = seen.nvs_depth_conf[0, 0].float().cpu().numpy()
        return QueriedView(image, maps[..., 3] * np.float32(self.unit), confidence)

    def align_to(self, world_to_cam: np.ndarray) -> "Reconstruction":
        """The same scene in the world of known cameras, and in their unit: rotation, translation and one scale.

        Args:
            world_to_cam: [S, 3, 4] or [S, 4, 4] of all views in their order; NaN where a camera is not known.

        Raises:
            ValueError, UserError: as `align_cameras` says.
        """
        found = align_cameras(self.world_to_cam, world_to_cam)
        return replace(
            self,
            world_to_cam=found.moved(self.world_to_cam),
            depth=self.depth * np.float32(found.scale),
            local_points=self.local_points * np.float32(found.scale),
            down=found.rotation @ self.down,
            unit=self.unit * found.scale,
            world="that of the cameras which the views were aligned to",
        )
