"""A recording for rerun's viewer (extra `rerun`)."""

from pathlib import Path

import numpy as np

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.geometry.gravity import turn_between
from zipmap_pl.inference.exporters._extras import library
from zipmap_pl.inference.points import PointCloud

rerun = library("rerun", "rerun", "rrd")


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write scene.rrd: upright points, and on the timeline `view` the camera, image and depth of every view."""
    path = folder / "scene.rrd"
    with rerun.RecordingStream("zipmap_pl") as recording:
        recording.save(path)
        upright = turn_between(scene.down, np.array([0.0, 1.0, 0.0]))
        recording.log("scene", rerun.ViewCoordinates.RIGHT_HAND_Y_DOWN, static=True)
        recording.log("scene/world", rerun.Transform3D(mat3x3=upright), static=True)
        recording.log("scene/world/points", rerun.Points3D(cloud.points, colors=cloud.colors), static=True)
        for view in np.flatnonzero(scene.usable):
            recording.set_time("view", sequence=int(view))
            _log_view(recording, scene, int(view))
    return {"rerun (rrd)": path}


def _log_view(recording, scene: Scene, view: int) -> None:
    below, (height, width) = ["scene", "world", scene.stems[view]], scene.depth.shape[1:]
    pose = scene.cam_to_world[view]
    recording.log(below, rerun.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
    lens = rerun.Pinhole(
        image_from_camera=scene.intrinsics[view], resolution=[width, height], camera_xyz=rerun.ViewCoordinates.RDF
    )
    recording.log([*below, "image"], lens)
    recording.log([*below, "image", "color"], rerun.Image(scene.images[view]).compress())
    recording.log([*below, "image", "depth"], rerun.DepthImage(scene.depth[view], meter=1.0))
