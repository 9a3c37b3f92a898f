"""conf/stage and conf/data against the tables of published numbers, read from the page itself."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import RunConfig, compose
from zipmap_pl.training.step.optimizer import build_optimizer

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
COLUMNS = {
    "Stage 1": "static",
    "Stage 2": "dynamic",
    "Stage 3": "affine_invariant",
    "State query": "state_query",
    "Streaming run 1": "streaming_12",
    "Streaming run 2": "streaming_24",
}
WEIGHTS = {
    "S1": "static",
    "S2": "dynamic",
    "S3": "affine_invariant",
    "query": "state_query",
    "streaming": "streaming_12",
}
SLUGS = {
    "aria_syn_envir": "aria_ase", "co3d": "co3dv2", "mp3d": "matterport3d", "scenenet": "scenenet_rgbd",
    "tartanairv2": "tartanground", "vkitti": "vkitti2", "omniworld_game": "omniworld",
}  # fmt: skip
STAGES = list(COLUMNS.values())


@cache
def stage(name: str) -> RunConfig:
    return compose([f"stage={name}"])


def tables() -> list[list[list[str]]]:
    """The tables of the page: rows of cells without the marks of emphasis."""
    page = SHARED / "facts" / "training.md"
    if not page.exists():
        pytest.skip(f"{page} is not there")
    blocks = re.findall(r"(?:^\|.*\n)+", page.read_text(), flags=re.MULTILINE)
    rows = [[line.replace("**", "").strip("|\n").split("|") for line in block.splitlines()] for block in blocks]
    return [[[cell.strip() for cell in row] for row in table if not set("".join(row)) <= set("-| ")] for table in rows]


@pytest.fixture(scope="module")
def published() -> dict[str, dict[str, str]]:
    """Stage -> row's name -> cell; `same` is the cell to its left."""
    head, *rows = tables()[0]
    names = [next(ours for theirs, ours in COLUMNS.items() if cell.startswith(theirs)) for cell in head[1:]]
    cells: dict[str, dict[str, str]] = {name: {} for name in names}
    for title, *values in rows:
        for number, name in enumerate(names):
            left = cells[names[number - 1]].get(title, "")
            cells[name][title] = left if values[number] == "same" else values[number]
    return cells


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text)]


@pytest.mark.parametrize("name", STAGES)
def test_every_row_of_the_stage_table(name: str, published: dict[str, dict[str, str]]) -> None:
    row, config = published[name], stage(name)
    settings, data = config.stage, config.data
    epochs, steps_each, *_ = numbers(row["epochs × steps"])
    assert settings.steps == epochs * steps_each
    assert settings.ema.start_step == int(row["EMA start step"])
    views = numbers(row["views per scene"])
    assert data.views == [views[0], views[-1]]
    assert data.images_per_gpu == numbers(row["max images per GPU"])[0]
    assert data.min_frames == int(row["min images a sequence must have"])
    assert len(data.train) == numbers(row["datasets"])[0]
    assert config.model.reference_view == (row["reference view token"] == "yes")
    assert config.model.reference_view == ("affine" not in row["camera loss"])
    assert (data.augmentation.colour == "none") == ("colour off" in row["augmentation"])
    assert (data.batches == "streaming") == ("window_size 1" in row["extra heads / losses"])
    assert (config.model.camera_head.kind == "mlp") == ("camera MLP" in row["extra heads / losses"])
    assert config.model.query_head == ("query head" in row["extra heads / losses"])
    if config.model.query_head:
        told = re.search(
            r"RGB ×([\d.]+) \(L2 ([\d.]+) \+ LPIPS-VGG ([\d.]+)\), query depth ×([\d.]+)", row["extra heads / losses"]
        )
        loss = settings.loss
        weights = (loss.query_colour, loss.query_squared_error, loss.query_perceptual, loss.query_depth)
        assert told is not None and weights == tuple(map(float, told.groups()))


PARENTS = {"stage 1": "static", "stage 2": "dynamic", "stage 3": "affine_invariant", "run 1": "streaming_12"}


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_starts_from_the_published_one(name: str, published: dict[str, dict[str, str]]) -> None:
    start, config = published[name]["start weights"], stage(name)
    parent = PARENTS.get(start)
    assert config.stage.parent == parent
    assert config.init_from == ("facebook/VGGT-1B" if parent is None else f"./runs/{parent}")


@pytest.mark.parametrize("name", STAGES)
def test_learning_rates_and_clipping(name: str, published: dict[str, dict[str, str]]) -> None:
    row, optimizer = published[name], stage(name).stage.optimizer
    told = row["peak lr"]
    alone = re.fullmatch(r"(\S+) all", told)
    if alone:
        assert (optimizer.learning_rate, optimizer.rates) == (float(alone[1]), {})
    else:
        fast, rest = numbers(told)
        modules = re.findall(r"(TTT blocks|\w+_head)", told.split("1e-4")[0])
        patterns = {"*ttt_block*" if module == "TTT blocks" else f"*{module}*" for module in modules}
        assert (optimizer.learning_rate, optimizer.rates) == (rest, dict.fromkeys(patterns, fast))
    exceptions = re.findall(r"(\w+_head) (\d\.\d)", row["clip exceptions"])
    assert optimizer.clip_norms == {module: float(limit) for module, limit in exceptions}


@pytest.mark.parametrize("name", STAGES)
def test_what_all_stages_have_in_common(name: str) -> None:
    page = SHARED / "facts" / "training.md"
    if not page.exists():
        pytest.skip(f"{page} is not there")
    common = re.search(r"Common to all rows.*", page.read_text())
    assert common is not None
    told: Callable[[str], list[float]] = lambda words: numbers(common[0].split(words)[1])  # noqa: E731
    config = stage(name)
    optimizer, ema = config.stage.optimizer, config.stage.ema
    assert optimizer.weight_decay == told("weight decay")[0]
    assert optimizer.clip_norm == told("per-module clip")[0]
    assert ema.decay == told("EMA")[0]
    assert config.seed == told("seed")[0]
    assert (config.data.width, config.facts().patch_size) == (told("image width")[0], told("patch")[0])
    assert optimizer.betas == [0.9, 0.999]
    assert (optimizer.warmup_share, optimizer.floor_learning_rate) == (0.05, 1e-8)


def test_which_parameters_decay_and_which_learn_faster() -> None:
    """The rule as published, on all parameters of the first stage's model."""
    config = stage("static").stage.optimizer
    with torch.device("meta"):
        model = ZipMap(stage("static").model)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = {names[p]: group for group in build_optimizer(model, config).param_groups for p in group["params"]}
    assert set(names.values()) - set(groups) == {"aggregator.patch_embed.mask_token"}
    for name, group in groups.items():
        decayed = model.get_parameter(name).ndim != 1 and not name.endswith(".bias")
        assert group["weight_decay"] == (0.05 if decayed else 0), name
        assert group["peak"] == (1e-4 if ".ttt_block." in name or name.startswith("local_point_head.") else 1e-5), name
    first = "aggregator.global_blocks.0.ttt_block"
    decayed = [
        f"{first}.w0",
        "aggregator.camera_token",
        "aggregator.patch_embed.pos_embed",
        "camera_head.empty_pose_tokens",
    ]
    assert {groups[name]["weight_decay"] for name in decayed} == {0.05}
    assert (
        groups["aggregator.frame_blocks.0.ls1.gamma"]["weight_decay"]
        == groups[f"{first}.o_norm.weight"]["weight_decay"]
        == 0
    )


PAPER = {  # settings that docs/training.md names -> what section 2 of the page says of the paper
    "static": ("stage.optimizer.rates={*local_point_head*: 1e-5}", "TTT blocks only at 1e-4"),
    "streaming_12": ("stage.optimizer.rates={*camera_mlp_head*: 1e-5}", "1e-5 in both phases"),
    "state_query": ("data.views=[4,44]", "4–44"),
}


@pytest.mark.parametrize("name", PAPER)
def test_what_the_paper_says_otherwise_is_a_setting(name: str) -> None:
    setting, told = PAPER[name]
    assert told in " ".join(cell for row in tables()[2] for cell in row)
    assert setting in (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    config, published = compose([f"stage={name}", setting]), stage(name)
    with torch.device("meta"):
        model = ZipMap(config.model)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = build_optimizer(model, config.stage.optimizer).param_groups
    fast = {
        names[p] for group in groups for p in group["params"] if group["peak"] > config.stage.optimizer.learning_rate
    }
    assert all(".ttt_block." in parameter for parameter in fast) and bool(fast) == (name == "static")
    assert config != published
    assert config.data.views == ([4, 44] if name == "state_query" else published.data.views)


@pytest.mark.parametrize(("column", "name"), WEIGHTS.items())
def test_how_often_each_dataset_is_drawn(column: str, name: str) -> None:
    head, *rows = tables()[1]
    place = head.index(column)
    thousands = {re.sub(r" .*", "", row[0]): row[place] for row in rows}
    published = {
        SLUGS.get(slug, slug): float(cell.removesuffix("k")) / 100 for slug, cell in thousands.items() if cell != "–"
    }
    found = {slug: dataset.weight for slug, dataset in stage(name).data.train.items()}
    assert found == pytest.approx(published)
    if name == "streaming_12":
        second = stage("streaming_24").data.train
        assert {slug: dataset.weight for slug, dataset in second.items()} == found
