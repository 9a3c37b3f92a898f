"""Running means: batches and ranks add up, every scene counts once, baselines stand beside."""

import copy
from dataclasses import replace

import pytest
import torch

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.geometry.pose_encoding import encode_pose
from zipmap_pl.metrics.reconstruction import ReconstructionMetric


def random_scenes(seed: int, scenes: int, views: int) -> tuple[Prediction, Batch]:
    generator = torch.Generator().manual_seed(seed)
    depth = 1 + torch.rand(scenes, views, 6, 7, generator=generator)
    mask = torch.rand(scenes, views, 6, 7, generator=generator) < 0.9
    skew = 0.3 * torch.randn(scenes, views, 3, 3, generator=generator)
    rotation = torch.linalg.matrix_exp(skew - skew.transpose(-1, -2))
    world_to_cam = torch.cat([rotation, torch.randn(scenes, views, 3, 1, generator=generator)], dim=-1)
    intrinsics = torch.tensor([[9.0, 0, 3.5], [0, 9.0, 3], [0, 0, 1]]).repeat(scenes, views, 1, 1)
    batch = Batch(
        torch.zeros(scenes, views, 3, 6, 7),
        depth * mask,
        mask,
        world_to_cam,
        intrinsics,
        torch.ones(scenes, dtype=torch.bool),
        ["toy"] * scenes,
        ["scene"] * scenes,
        torch.zeros(scenes, views, dtype=torch.int64),
    )
    encoding = encode_pose(world_to_cam, intrinsics, 6, 7) + 0.1 * torch.randn(scenes, views, 9, generator=generator)
    noisy = (depth + 0.2 * torch.rand(depth.shape, generator=generator))[..., None]
    return Prediction(encoding, [encoding], noisy, torch.ones_like(depth), torch.zeros(*depth.shape, 3)), batch


def some_scenes(prediction: Prediction, batch: Batch, scenes: slice) -> tuple[Prediction, Batch]:
    names = ("images", "depth", "mask", "world_to_cam", "intrinsics", "normals", "frames")
    return (
        replace(prediction, pose_enc=prediction.pose_enc[scenes], depth=prediction.depth[scenes]),
        replace(batch, **{name: getattr(batch, name)[scenes] for name in names}),
    )


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert theirs[name].item() == pytest.approx(value.item(), rel=1e-6, nan_ok=True), name


def test_the_truth_scores_perfectly_and_beats_the_baselines():
    prediction, batch = random_scenes(0, 3, 4)
    prediction.pose_enc = encode_pose(batch.world_to_cam, batch.intrinsics, 6, 7)
    prediction.pose_enc[..., :3] *= 3
    prediction.depth = 3 * batch.depth[..., None]
    metric = ReconstructionMetric()
    metric.update(prediction, batch)
    values = {name: value.item() for name, value in metric.compute().items()}
    errors = ("depth_abs_rel", "rotation_deg", "translation_direction_deg", "centre_error", "trajectory_error")
    for name in (*errors, "point_accuracy", "point_completeness"):
        assert values[name] == pytest.approx(0, abs=0.1)
        assert values[f"{name}_baseline"] > 0.15
    for name in ("depth_delta_1.25", "pose_auc_5", "pose_auc_15", "pose_auc_30"):
        assert values[name] == 1 > values[f"{name}_baseline"]


def test_every_scene_counts_once_however_they_are_batched():
    whole, parts = ReconstructionMetric(), ReconstructionMetric()
    prediction, batch = random_scenes(0, 5, 3)
    whole.update(prediction, batch)
    for scenes in (slice(0, 1), slice(1, 5)):
        parts.update(*some_scenes(prediction, batch, scenes))
    assert_same(parts.compute(), whole.compute())


def test_ranks_add_up():
    """What a reduction over ranks does to the states: it adds them."""
    whole = ReconstructionMetric()
    ranks = [copy.deepcopy(whole) for _ in range(2)]
    for seed, (rank, scenes, views) in enumerate([(0, 2, 3), (1, 3, 4), (1, 1, 2)]):
        prediction, batch = random_scenes(seed, scenes, views)
        whole.update(prediction, batch)
        ranks[rank].update(prediction, batch)
    assert {reduction.__name__ for reduction in whole._reductions.values()} == {"dim_zero_sum"}
    ranks[0].sums = ranks[0].sums + ranks[1].sums
    ranks[0].counts = ranks[0].counts + ranks[1].counts
    assert_same(whole.compute(), ranks[0].compute())


def test_calling_the_metric_gives_the_batch_and_keeps_the_mean():
    metric, plain = ReconstructionMetric(), ReconstructionMetric()
    first, second = random_scenes(0, 2, 3), random_scenes(1, 3, 2)
    metric(*first)
    of_second = metric(*second)
    plain.update(*second)
    assert_same(of_second, plain.compute())
    plain.update(*first)
    assert_same(metric.compute(), plain.compute())


def test_single_views_have_no_pose_to_judge():
    metric = ReconstructionMetric()
    metric.update(*random_scenes(0, 2, 1))
    values = metric.compute()
    assert not {"rotation_deg", "rotation_deg_baseline", "trajectory_error"} & values.keys()
    assert values["depth_abs_rel"].isfinite()


def test_two_views_have_no_trajectory_and_no_number_is_nan():
    metric = ReconstructionMetric()
    metric.update(*random_scenes(1, 1, 2))
    values = metric.compute()
    assert not {"trajectory_error", "trajectory_error_baseline"} & values.keys()
    assert all(value.isfinite() for value in values.values())
    assert {"rotation_deg", "pose_auc_30", "point_accuracy"} <= values.keys()
    metric.update(*random_scenes(2, 1, 3))
    assert metric.compute()["trajectory_error"].isfinite()


def test_scenes_without_depth_count_for_their_cameras_alone():
    prediction, batch = random_scenes(0, 3, 3)
    batch.mask[2] = False
    both, seen = ReconstructionMetric(), ReconstructionMetric()
    both.update(prediction, batch)
    seen.update(*some_scenes(prediction, batch, slice(0, 2)))
    both, seen = both.compute(), seen.compute()
    for name in ("depth_abs_rel", "depth_delta_1.25", "point_accuracy", "point_completeness"):
        assert both[name].item() == pytest.approx(seen[name].item(), rel=1e-6)
    assert both["rotation_deg"] != seen["rotation_deg"]


def test_the_auc_pools_pairs_not_scenes():
    prediction, batch = random_scenes(0, 1, 4)
    prediction.pose_enc = encode_pose(batch.world_to_cam, batch.intrinsics, 6, 7)
    metric = ReconstructionMetric()
    metric.update(prediction, batch)  # six perfect pairs
    prediction, batch = random_scenes(1, 1, 2)
    prediction.pose_enc[..., 3:7] = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0]]])
    metric.update(prediction, batch)  # one that is all wrong
    assert metric.compute()["pose_auc_5"].item() == pytest.approx(6 / 7)


def test_a_prediction_of_nothing_but_nan_is_scored_and_finite():
    prediction, batch = random_scenes(0, 2, 4)
    prediction.pose_enc[:] = torch.nan
    prediction.depth[:] = torch.nan
    metric = ReconstructionMetric()
    metric.update(prediction, batch)
    values = metric.compute()
    assert all(value.isfinite() for value in values.values())
    assert values["trajectory_error"] == values["trajectory_error_baseline"]
    assert values["pose_auc_30"] == 0


def test_repeated_view_sets_do_not_count():
    prediction, batch = random_scenes(3, 3, 2)
    once, padded = ReconstructionMetric(), ReconstructionMetric()
    once.update(*some_scenes(prediction, batch, slice(0, 2)))
    batch.repeat = torch.tensor([False, False, True])
    padded.update(prediction, batch)
    assert_same(padded.compute(), once.compute())
