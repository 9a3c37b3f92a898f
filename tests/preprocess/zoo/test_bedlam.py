"""BEDLAM beyond the suite: the official example of a camera, what is left out and what is not, which images are read."""

import numpy as np
import pytest
from miniatures.files import to_folder
from miniatures.rooms import Room
from miniatures.zoo.bedlam import CLOSE_UP, FIRST, HDRI, HEADER, SECOND, SKIPPED, STADIUM, STATIC, ZOOM, sequence, write
from readers import reader_of

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.zoo.bedlam.excluded import EXCLUDED


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    write(folder)
    return folder


def names(raw, *options):
    return [scene.name for scene in reader_of("bedlam", raw, *options).scenes()]


def test_the_example_of_the_official_description(tmp_path):
    row = "5.058579,-9.743741,168.953232,1.468127,-2.905068,2.813995,36.905,36,20.25,52.0"
    files = {f"{part}/{FIRST}/{FIRST}_0000{end}": b"" for part, end in (("png", ".png"), ("depth", "_depth.exr"))}
    table = f"{HEADER}\nanother.png,{row}\n{FIRST}_0000.png,{row}\n".encode()
    to_folder(tmp_path / STATIC, {**files, f"ground_truth/camera/{FIRST}_camera.csv": table})
    reader = reader_of("bedlam", tmp_path)
    (scene,) = reader.scenes()
    camera = reader.camera(scene, "0000")
    turn = (0.998403, -0.050375, 0.025588), (0.049031, 0.997511, 0.050681), (-0.028077, -0.049346, 0.998387)
    np.testing.assert_allclose(camera.cam_to_world[:3, :3], turn, atol=1e-6)
    np.testing.assert_allclose(camera.cam_to_world[:3, 3], (-0.097437, -1.689532, 0.050586), atol=1e-6)
    fx, fy, cx, cy = camera.intrinsics[(0, 1, 0, 1), (0, 1, 2, 2)]
    assert (fx, fy) == (pytest.approx(1312.178, abs=1e-3),) * 2 and (cx, cy) == (640, 360)


def test_all_sequences_of_a_job_are_read_and_jobs_are_left_out_by_their_whole_names(raw):
    """Published code stops after a job's first sequence, and takes the stadium job for the HDRI job."""
    assert names(raw) == [f"{STATIC}/{FIRST}", f"{STATIC}/{SECOND}", f"{STADIUM}/{FIRST}", f"{ZOOM}/{FIRST}"]


def test_what_is_left_out_by_name_can_be_chosen_but_close_ups_are_turned_and_never_read(raw):
    assert len(EXCLUDED) == 4 + 141
    everything = names(raw, "--exclude", "")
    assert f"{STATIC}/{SKIPPED}" in everything and f"{HDRI}/{FIRST}" in everything
    assert not any(CLOSE_UP in name for name in everything)
    assert names(raw, "--exclude", f"{STATIC},{ZOOM}/{FIRST},{HDRI}") == [f"{STADIUM}/{FIRST}"]
    with pytest.raises(UserError, match="no <job>/png/seq_<nnnnnn> .* --exclude"):
        names(raw, "--exclude", f"{STATIC},{ZOOM},{HDRI},{STADIUM}")


def test_images_are_read_by_number_where_depth_is_published(raw, tmp_path):
    def frames(folder, every):
        return reader_of("bedlam", folder, "--every", every).scenes()[0].frames

    assert frames(raw, 10) == ("0000", "0010", "0020")
    assert frames(raw, 1) == frames(raw, 5) == ("0000", "0005", "0010", "0015", "0020", "0025")
    files, _ = sequence(FIRST, Room(), 7)
    files[f"depth/{FIRST}/{FIRST}_0003_depth.exr"] = files.pop(f"depth/{FIRST}/{FIRST}_0005_depth.exr")
    to_folder(tmp_path / STATIC, files)
    assert frames(tmp_path, 1) == ("0000", "0003", "0005")  # the last one's depth is missing, and will be told
    with pytest.raises(UserError, match="--every 0: expected 1 or more"):
        frames(raw, 0)
