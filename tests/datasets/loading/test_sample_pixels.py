"""What the loader makes of stored frames: reduced pictures, limited and sparse depth, all in one place."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from zipmap_pl.datasets.config import DatasetConfig
from zipmap_pl.datasets.data_module import open_dataset
from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.loading.mixture import Pick
from zipmap_pl.datasets.loading.samples import SampleReader
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFrame, RawScene

HEIGHT, WIDTH = 251, 397
CENTRE = (190.3, 131.8)
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 98)


@dataclass(frozen=True)
class Ramps:
    """Two frames whose red and green say where a pixel is; depth is a slope, whole or in scattered points before the sky."""

    slug: str
    sparse: bool

    @property
    def info(self):
        return DatasetInfo(self.slug, "Ramps", "none", "static", "synthetic", None)

    def settings(self):
        return {"sparse": self.sparse}

    def scenes(self):
        return [RawScene("ramps", "train", ("0", "1"))]

    def camera(self, scene, frame):
        pose = np.eye(4)
        pose[0, 3] = float(frame)
        return RawCamera(np.array([[300.0, 0, CENTRE[0]], [0, 300.0, CENTRE[1]], [0, 0, 1]]), pose)

    def frame(self, scene, frame):
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        image[..., 0] = np.rint(np.arange(WIDTH) / 2 + 20)
        image[..., 1] = np.rint(np.arange(HEIGHT)[:, None] / 2 + 60)
        depth = np.tile(np.linspace(1, 3, WIDTH, dtype=np.float32), (HEIGHT, 1))
        if self.sparse:
            depth[np.random.default_rng(int(frame)).random(depth.shape) > 0.02] = 0
        jpeg = cv2.imencode(".jpg", image[..., ::-1], JPEG)[1].tobytes()
        decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
        return RawFrame(self.camera(scene, frame), decoded, jpeg, depth, sky=(depth == 0))


@pytest.fixture(scope="module", params=["whole", "sparse"])
def dataset(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    preprocess(Ramps(request.param, request.param == "sparse"), folder, EngineSettings(max_side=WIDTH), workers=1)
    return open_dataset(DatasetConfig(str(folder)))


def read(dataset, target, zoom=1.0):
    reader = SampleReader([dataset], [FrameReader(dataset.index)])
    return reader.read(Pick(0, 0, np.array([0, 1])), target, np.array([zoom, zoom]))


@pytest.mark.parametrize(("target", "zoom"), [((154, 238), 1.3), ((70, 112), 1.0), ((42, 56), 1.1), ((14, 28), 1.0)])
def test_colours_say_where_the_intrinsics_say_they_are(dataset, target, zoom):
    sample = read(dataset, target, zoom)
    scale = sample.intrinsics[0, 0, 0] / 300
    np.testing.assert_allclose(sample.intrinsics[:, :2, 2], [[target[1] / 2, target[0] / 2]] * 2)
    x = (np.arange(target[1]) + 0.5 - target[1] / 2) / scale + CENTRE[0] - 0.5
    y = (np.arange(target[0]) + 0.5 - target[0] / 2) / scale + CENTRE[1] - 0.5
    inner = (slice(2, -2), slice(2, -2))
    assert np.abs(sample.images[0, ..., 0] - (x / 2 + 20))[inner].mean() < 1
    assert abs((sample.images[0, ..., 0] - (x / 2 + 20))[inner].mean()) < 0.25
    assert abs((sample.images[0, ..., 1] - (y / 2 + 60)[:, None])[inner].mean()) < 0.25


def test_depth_shrinks_with_the_picture_and_keeps_scattered_points(dataset):
    target = (42, 70)
    sample = read(dataset, target)
    frame = FrameReader(dataset.index).read(0)
    rows, columns = np.nonzero(frame.depth)
    scale = sample.intrinsics[0, 0, 0] / 300
    down = np.floor((rows + 0.5 - CENTRE[1]) * scale + target[0] / 2).astype(int)
    across = np.floor((columns + 0.5 - CENTRE[0]) * scale + target[1] / 2).astype(int)
    inside = (down >= 0) & (down < target[0]) & (across >= 0) & (across < target[1])
    assert (sample.depth[0][down[inside], across[inside]] > 0).all()
    seen, x = sample.depth[0], (np.arange(target[1]) + 0.5 - target[1] / 2) / scale + CENTRE[0] - 0.5
    there = np.interp(x, np.arange(WIDTH), np.linspace(1, 3, WIDTH)) * frame.depth.max() / np.float32(3)
    share = (seen > 0).mean()
    assert share == 1 if frame.depth.all() else 0.1 < share < 0.6
    # Within half a new pixel of where it was seen, and of the slope's start and end as the units are.
    step = 2 / WIDTH / scale * float(frame.depth.max()) / 3
    known = seen > 0
    assert np.abs(seen - there)[known].max() < 0.6 * step + 0.02 * float(frame.depth.max())
