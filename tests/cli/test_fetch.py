"""`zipmap fetch` with a client that stands in for the hub: what it asks for, where it lies, and what goes wrong in one line."""

import hashlib
import urllib.error
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from random_vgg import random_vgg, write_random_vgg

from zipmap_pl.checkpoints.published import REFERENCE_VIEW_OF_FILE
from zipmap_pl.cli.fetch import ON_THE_HUB
from zipmap_pl.cli.main import main
from zipmap_pl.losses import perceptual
from zipmap_pl.losses.perceptual import default_vgg_path, load_perceptual_distance


class Hub:
    """Holds weights, but no config.json; afterwards its cache answers while it is out of reach."""

    def __init__(self, cache: Path) -> None:
        self.cache, self.asked, self.online = cache, [], True

    def download(self, repository: str, file: str) -> str:
        self.asked.append(f"{repository}/{file}")
        path = self.cache / repository / file
        if file == "config.json":
            raise EntryNotFoundError("404")
        if not self.online and not path.is_file():
            raise LocalEntryNotFoundError("offline")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return str(path)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Hub:
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub.download)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return hub


@pytest.mark.parametrize("name", ON_THE_HUB)
def test_weights_and_the_settings_beside_them_are_asked_for(hub, name, capsys):
    assert main(["fetch", name]) == 0
    repository = ON_THE_HUB[name].rpartition("/")[0]
    assert hub.asked == [ON_THE_HUB[name], f"{repository}/config.json"]
    shown = capsys.readouterr().out
    assert str(hub.cache / ON_THE_HUB[name]) in shown
    assert "not for commercial use" in shown
    hub.online = False
    assert main(["fetch", name]) == 0


def test_every_published_checkpoint_of_zipmap_has_a_name():
    files = {file.rpartition("/")[2] for file in ON_THE_HUB.values() if file.startswith("coast01/")}
    assert files == set(REFERENCE_VIEW_OF_FILE)


def test_vgg_is_downloaded_once_and_then_found(hub, monkeypatch, capsys):
    calls = []

    def download(url: str, target: str, hash_prefix: str) -> None:
        calls.append((url, hash_prefix))
        write_random_vgg(Path(target))

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        assert main(["fetch", "lpips"]) == 0
        assert str(default_vgg_path()) in capsys.readouterr().out
    assert calls == [("https://download.pytorch.org/models/vgg16-397923af.pth", "397923af")]
    load_perceptual_distance()


def test_vgg_from_another_place_is_checked_against_its_hash(hub, tmp_path, monkeypatch, capsys):
    source = tmp_path / "source.pth"
    torch.save({"features.0.weight": random_vgg()["features.0.weight"]}, source)
    monkeypatch.setattr("zipmap_pl.losses.perceptual.VGG_URL", source.as_uri())
    assert main(["fetch", "lpips"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "invalid hash value" in message
    assert not default_vgg_path().exists()
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    monkeypatch.setattr(perceptual, "VGG_FILE", f"vgg16-{digest[:8]}.pth")
    assert main(["fetch", "lpips"]) == 0


@pytest.mark.parametrize("error", [urllib.error.URLError("no route"), OSError(28, "No space left on device")])
def test_vgg_that_is_not_to_be_had_is_one_line(hub, monkeypatch, capsys, error):
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    assert main(["fetch", "lpips"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "with a connection and put it at" in message


def test_a_hub_out_of_reach_and_a_wrong_name_are_one_line(hub, capsys):
    hub.online = False
    assert main(["fetch", "vggt"]) == 2
    assert main(["fetch", "vgg"]) == 2
    messages = capsys.readouterr().err.splitlines()
    assert len(messages) == 2
    assert "facebook/VGGT-1B/model.safetensors: found neither" in messages[0]
    assert "'vgg'" in messages[1]
