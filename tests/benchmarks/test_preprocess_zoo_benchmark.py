"""The benchmark of the zoo's readers knows every dataset, decodes what is there, and can fail."""

import preprocess_zoo as benchmark
import pytest
from miniatures.found import all_miniatures
from raw_files import RAW_FILES
from readers import reader_of

MINIATURES = {miniature.name: miniature for miniature in reversed(all_miniatures())}  # the first of each dataset


def test_every_dataset_is_measured():
    assert sorted(RAW_FILES) == sorted(MINIATURES)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(RAW_FILES))
def test_a_frame_has_an_image_first_and_every_file_is_decoded(tmp_path, name):
    MINIATURES[name].write(tmp_path)
    decoders = RAW_FILES[name].decoders(tmp_path)
    assert len(decoders) > 1
    image, *layers = decoders[0]()
    assert image.ndim == 3
    assert all(layer.size for layer in layers)


def test_it_says_what_it_measured_and_can_fail(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "in_new_process", lambda task, *arguments: benchmark.Measured(0.9, 1.0, 2e8))
    assert benchmark.main(["vkitti2", "--frames", "9"]) == 0
    assert "| vkitti2 | 10.0 | 9.0 | 0.90 | 200 |" in capsys.readouterr().out
    monkeypatch.setattr(benchmark, "in_new_process", lambda task, *arguments: benchmark.Measured(0.7, 1.0, 2e8))
    assert benchmark.main(["vkitti2", "--frames", "9"]) == 1
    assert benchmark.main(["gta_sfm", "--frames", "9"]) == 0  # a container has to be opened
    monkeypatch.setattr(benchmark, "in_new_process", lambda task, *arguments: benchmark.Measured(0.9, 1.0, 2e9))
    assert benchmark.main(["vkitti2", "--frames", "9"]) == 1


def test_frames_are_walked_through_to_and_fro(tmp_path):
    MINIATURES["vkitti2"].write(tmp_path)
    reader = benchmark.Walked(reader_of("vkitti2", tmp_path), RAW_FILES["vkitti2"].scene, 12)
    (scene,) = reader.scenes()
    assert scene.frames[4:8] == ("00004-00004", "00005-00005", "00006-00004", "00007-00003")
    assert reader.frame(scene, "00006-00004").camera.cam_to_world.shape == (4, 4)
