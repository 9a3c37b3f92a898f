"""A state-query run in seconds: LPIPS among its losses, its metrics, and all that TensorBoard promises to show."""

from pathlib import Path

import pytest
from random_vgg import write_random_vgg
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zipmap_pl.errors import UserError
from zipmap_pl.training.config import compose
from zipmap_pl.training.fit import FitResult, fit

STATE_QUERY = [
    "model.query_head=true",
    "data.batches=state_query",
    "stage.steps=3",
    "data.views=[3,3]",
    "data.images_per_gpu=4",
]


@pytest.fixture(scope="module")
def run(smallest_run: list[str], tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    folder = tmp_path_factory.mktemp("runs")
    vgg = write_random_vgg(folder / "vgg.pth")
    settings = [*smallest_run, *STATE_QUERY, f"stage.loss.vgg_weights={vgg}", f"output={folder / 'query'}"]
    return fit(compose([*settings, "data.validation_sets.positions=[0,1,2]"]))


@pytest.fixture(scope="module")
def events(run: FitResult) -> EventAccumulator:
    events = EventAccumulator(str(run.output / "tensorboard"), size_guidance={"images": 0, "scalars": 0, "tensors": 0})
    events.Reload()
    return events


def test_every_curve_is_there(events: EventAccumulator) -> None:
    scalars = set(events.Tags()["scalars"])
    terms = {"camera", "points", "normals", "depth_confidence", "depth_regression", "depth_gradient"}
    terms |= {"query_colour", "query_squared_error", "query_perceptual", "query_psnr"}
    terms |= {f"query_depth_{name}" for name in ("confidence", "regression", "gradient")}
    wanted = {f"loss/{name}" for name in terms | {"total"}}
    wanted |= {f"gradient_norm/{name}" for name in ("aggregator", "camera_head", "depth_head", "nvs_head")}
    wanted |= {"data/views", "data/images", "speed/images_per_second", "speed/peak_memory_gib"}
    wanted |= {"steps/skipped_share", "mixture/synthetic"}
    wanted |= {f"validation/{name}" for name in ("pose_auc_5", "rotation_deg", "point_accuracy", "query_lpips")}
    assert wanted <= scalars
    assert any(name.startswith("learning_rate/") for name in scalars)
    assert events.Scalars("mixture/synthetic")[-1].value == 1
    assert events.Scalars("speed/peak_memory_gib")[-1].value > 0.05


def test_pictures_and_points_are_there(events: EventAccumulator) -> None:
    assert {"fixed scene", "queried views"} <= set(events.Tags()["images"])
    assert [event.step for event in events.Images("queried views")] == [0, 3]
    assert any(tag.startswith("predicted points") for tag in events.Tags()["tensors"])


def test_validation_judges_queried_views_beside_the_mean_colour(run: FitResult) -> None:
    for name in ("query_psnr", "query_ssim", "query_lpips"):
        assert run.before[name] != run.after[name]
        assert run.before[f"{name}_baseline"] == run.after[f"{name}_baseline"]
    assert "query_ssim" in run.summary()
    assert "nan" not in run.summary()


def test_a_run_without_the_weights_of_vgg_says_so_before_it_starts(
    smallest_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="zipmap fetch lpips"):
        fit(compose([*smallest_run, *STATE_QUERY, f"output={tmp_path / 'run'}"]))
    assert not (tmp_path / "run" / "tensorboard").exists()
