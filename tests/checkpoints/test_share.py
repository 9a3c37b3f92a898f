"""`zipmap checkpoint info|push|pull` with a hub that is a folder: what goes there, comes back, and goes wrong in one line."""

import errno
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fake_hub import FakeHub, http_error
from huggingface_hub import ModelCard, errors
from photos_and_model import SMALL

from zipmap_pl.checkpoints.folder import Figures, Manifest, SeenPictures, path_of, save_checkpoint
from zipmap_pl.checkpoints.load import load_any, load_model
from zipmap_pl.checkpoints.published import PUBLISHED_TERMS
from zipmap_pl.checkpoints.start import start_from
from zipmap_pl.cli.main import main
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose

REPOSITORY = "ada/kitchen-model"
MANIFEST = Manifest(
    700,
    2,
    "dynamic",
    compose(SMALL).model,
    SeenPictures(56, [0.5, 1.0], [2, 4]),
    {"rooms": "CC BY 4.0 | own", "streets": "no commercial use"},
    validation=Figures(600, "held-out", {"depth_abs_rel": 0.0713, "depth_abs_rel_baseline": 0.3}),
    commit="0123abcd",
)


def checkpoint_of(folder: Path, manifest: Manifest = MANIFEST) -> Path:
    """The checkpoint of a run; its averages are twice the weights."""
    torch.manual_seed(0)
    weights = ZipMap(manifest.model).state_dict()
    averages = {name: 2 * value for name, value in weights.items()}
    return save_checkpoint(folder / "checkpoints", replace(manifest, files={}), weights, {}, averages=averages)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint_of(tmp_path_factory.mktemp("run")).parents[1]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    hub = FakeHub(tmp_path / "hub")
    hub.stand_in(monkeypatch)
    yield hub
    hub.close()


def checkpoint(*arguments: object) -> int:
    return main(["checkpoint", *map(str, arguments)])


def test_info_says_what_a_run_is_and_how_it_was_made(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkpoint("info", run) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(str(path_of(run / "checkpoints", 700)))
    for said in (
        f"{sum(value.numel() for value in ZipMap(MANIFEST.model).parameters()) / 1e6:.1f} million",
        "48 channels, 4 block pairs, views mixed by ttt",
        "cameras, depth, local points",
        "images 56 wide, height / width 0.5 to 1, 2-4 views",
        "dynamic, 700 steps, 2 of them skipped",
        "commit 0123abcd",
        "no commercial use",
        "0.0713 (held-out scenes, step 600; 0.3 is the baseline)",
    ):
        assert said in shown


def test_one_file_says_the_same_as_the_checkpoint_that_it_was_made_of(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for suffix in ("safetensors", "pt"):
        file = tmp_path / f"one.{suffix}"
        assert checkpoint("consolidate", run, "--output", file) == 0
        told.append(file)
    capsys.readouterr()
    lines = []
    for source in (run, *told):
        assert checkpoint("info", source) == 0
        lines.append(capsys.readouterr().out.splitlines()[2:])  # not the name, and the size of all files
    assert lines[0] == lines[1] == lines[2]


def test_licences_of_data_travel_through_a_file_into_the_next_stage(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.safetensors"
    assert checkpoint("consolidate", run, "--output", file) == 0
    assert start_from(ZipMap(MANIFEST.model), str(file)).trained_on == MANIFEST.trained_on


def test_weights_of_others_are_described_by_their_tensors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["model.embed_dim=64", *(f"model.{part}heads=1" for part in ("", "tokenizer.", "camera_head."))]
    torch.save(ZipMap(compose(sizes).model).state_dict(), tmp_path / "x.pt")
    assert checkpoint("info", tmp_path / "x.pt") == 0
    shown = capsys.readouterr().out
    assert "it does not say (--reference-view or --no-reference-view)" in shown
    assert PUBLISHED_TERMS in shown


def test_what_is_pushed_loads_from_the_hub_and_says_the_same(
    run: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint("push", run, REPOSITORY) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"https://hub.example/{REPOSITORY}"
    assert {path.name for path in (hub.folder / REPOSITORY).iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
    }
    model, pictures = load_any(Path(REPOSITORY))
    assert pictures == MANIFEST.pictures
    wanted = load_model(run).model.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())
    hub.calls.clear()
    assert checkpoint("info", REPOSITORY) == 0
    assert "dynamic, 700 steps" in capsys.readouterr().out
    assert hub.calls == ["model_info", "hf_hub_download"]  # of which the latter is for config.json


def test_the_card_names_data_licences_commit_and_figures(run: Path, hub: FakeHub) -> None:
    assert checkpoint("push", run, REPOSITORY, "--license", "apache-2.0") == 0
    card = ModelCard.load(hub.folder / REPOSITORY / "README.md")
    assert (card.data.license, card.data.library_name) == ("apache-2.0", "zipmap_pl")
    for said in (
        "| rooms | CC BY 4.0 \\| own |",
        "| streets | no commercial use |",
        "commit 0123abcd",
        "Validation on held-out scenes at step 600.",
        "| depth_abs_rel | 0.0713 | 0.3 |",
        f"zipmap reconstruct my_photos/ --checkpoint {REPOSITORY}",
    ):
        assert said in card.text


def test_averages_are_pushed_when_asked_for_and_the_card_says_so(run: Path, hub: FakeHub) -> None:
    assert checkpoint("push", run, REPOSITORY, "--ema") == 0
    model, _ = load_any(Path(REPOSITORY))
    name, value = next(iter(load_model(run).model.state_dict().items()))
    assert torch.equal(model.state_dict()[name], 2 * value)
    assert "These are of the weights before averaging." in (hub.folder / REPOSITORY / "README.md").read_text()


def test_the_same_checkpoint_gives_the_same_bytes(run: Path, hub: FakeHub) -> None:
    """So that the hub recognizes what it has already, when a push is repeated."""
    files = []
    for _ in range(2):
        assert checkpoint("push", run, REPOSITORY) == 0
        files.append([path.read_bytes() for path in sorted((hub.folder / REPOSITORY).iterdir())])
    assert files[0] == files[1]


def test_a_dry_run_shows_card_and_files_and_calls_nobody(
    run: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.stand_in(monkeypatch, token=None)
    assert checkpoint("push", run, REPOSITORY, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "## Data and licences" in shown
    assert "model.safetensors" in shown
    assert shown.endswith(f"nothing was sent; without --dry-run this goes to {REPOSITORY}\n")
    assert hub.calls == []


def test_the_licence_of_published_weights_stays(
    tmp_path: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoint_of(tmp_path, replace(MANIFEST, terms=PUBLISHED_TERMS))
    assert checkpoint("push", folder, REPOSITORY, "--license", "mit") == 2
    assert "--license mit: these weights started from published ones under CC BY-NC 4.0" in capsys.readouterr().err
    assert hub.calls == []
    assert checkpoint("push", folder, REPOSITORY) == 0
    assert ModelCard.load(hub.folder / REPOSITORY / "README.md").data.license == "cc-by-nc-4.0"


def test_a_checkpoint_of_an_older_version_is_pushed_without_what_it_does_not_say(tmp_path: Path, hub: FakeHub) -> None:
    folder = checkpoint_of(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["validation"], manifest["commit"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert checkpoint("push", folder, REPOSITORY) == 0
    card = (hub.folder / REPOSITORY / "README.md").read_text()
    assert "The checkpoint holds none." in card
    assert "commit" not in card


def test_a_pull_that_breaks_off_resumes_and_gives_a_folder_that_loads(
    run: Path, hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint("push", run, REPOSITORY) == 0
    output = tmp_path / "weights"
    hub.cut_at = 1_100_000
    assert checkpoint("pull", REPOSITORY, "--output", output) == 2
    assert "then the same command again" in capsys.readouterr().err
    assert not (output / "model.safetensors").exists()
    hub.cut_at, resumed = None, hub.ranges[-1]
    assert 1_000_000 <= resumed <= 1_100_000
    assert checkpoint("pull", REPOSITORY, "--output", output) == 0
    assert hub.ranges[-1] == resumed
    assert "dynamic, 700 steps" in capsys.readouterr().out
    assert load_any(output / "model.safetensors")[1] == MANIFEST.pictures
    assert {path.name for path in output.iterdir()} == {"model.safetensors", "config.json", "README.md", ".zipmap-pull"}
    hub.ranges.clear()
    assert checkpoint("pull", REPOSITORY, "--output", output) == 0
    assert hub.ranges == []  # it is there


def test_bytes_that_are_not_those_of_the_checksum_are_refused_and_removed(
    run: Path, hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint("push", run, REPOSITORY) == 0
    hub.wrong = True
    assert checkpoint("pull", REPOSITORY, "--output", tmp_path / "weights") == 2
    assert "the bytes are not those that the hub names" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [".zipmap-pull"]


def test_a_pull_touches_no_file_of_the_user(
    run: Path, hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint("push", run, REPOSITORY) == checkpoint("push", run, "ada/other") == 0
    own = tmp_path / "own"
    own.mkdir()
    (own / "README.md").write_text("mine")
    assert checkpoint("pull", REPOSITORY, "--output", own) == 2
    assert "not empty, expected a new folder" in capsys.readouterr().err
    assert [path.read_text() for path in own.iterdir()] == ["mine"]
    assert checkpoint("pull", REPOSITORY, "--output", tmp_path / "new") == 0
    assert checkpoint("pull", "ada/other", "--output", tmp_path / "new") == 2
    assert f"holds weights of {REPOSITORY}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (http_error(errors.GatedRepoError, 403), "its owner wants its terms accepted"),
        (http_error(errors.RepositoryNotFoundError, 404), "no such repository, or one that is hidden from you"),
        (http_error(errors.HfHubHTTPError, 401), "does not know the token, and log in"),
        (http_error(errors.HfHubHTTPError, 403), "no right to do so"),
        (http_error(errors.HfHubHTTPError, 503), "the hub answered 503 of the hub; try the same command later"),
        (errors.OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE is set"),
        (errors.HTTPError("name resolution"), "out of reach (name resolution)"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "out of reach"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), "make room"),
        (errors.HFValidationError("two dots"), "not an id of the hub (two dots)"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_the_hub_refuses_is_one_line_with_what_to_do(
    run: Path, hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], failure: Exception, said: str
) -> None:
    hub.failure = failure
    for arguments in (
        ("push", run, REPOSITORY),
        ("pull", REPOSITORY, "--output", tmp_path / "new"),
        ("info", REPOSITORY),
    ):
        assert checkpoint(*arguments) == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert message.startswith(f"zipmap: {REPOSITORY}")
        assert said in message
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("push", "RUN", "kitchen"), "kitchen: not a repository of the hub, expected owner/name"),
        (("push", "RUN", "ada/kitchen/model.pt"), "expected owner/name"),
        (("pull", "kitchen", "--output", "x"), "kitchen: not an id of the hub"),
        (("pull", "ada/none", "--output", "x"), "ada/none/model.safetensors: no such repository"),
        (("push", "nowhere", REPOSITORY), "nowhere: found no folder"),
    ],
)
def test_a_wrong_id_is_one_line(
    run: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert checkpoint(*(run if word == "RUN" else word for word in arguments)) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1


def test_without_a_token_a_push_ends_before_any_work(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.stand_in(monkeypatch, token=None)
    assert checkpoint("push", "nowhere", REPOSITORY) == 2
    assert "the hub wants a token to write; `hf auth login`, or set HF_TOKEN" in capsys.readouterr().err


def test_a_file_that_the_repository_lacks_is_named_with_those_it_has(
    run: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint("push", run, REPOSITORY) == 0
    assert checkpoint("info", f"{REPOSITORY}/best.pt") == 2
    assert "the repository has no such file; it has model.safetensors" in capsys.readouterr().err
