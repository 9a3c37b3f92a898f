"""What a checkpoint of a run says of itself."""

from dataclasses import asdict

from zipmap_pl.checkpoints.folder import Manifest
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.training.module import ZipMapModule


def manifest_of(module: ZipMapModule, data: ZooDataModule) -> Manifest:
    """The manifest for the present step."""
    config = module.config
    return Manifest(
        step=module.step,
        stage=config.stage.name,
        model=asdict(config.model),
        data={"width": config.data.width, "aspect": list(config.data.aspect), "views": list(config.data.views)},
        trained_on=data.licences(),
    )
