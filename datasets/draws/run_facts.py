"""What a run tells its data. These are settings of the run, the stage and the model, so they are none of `DataConfig`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunFacts:
    """The facts of a run that draws and image sizes depend on.

    Attributes:
        seed: of all draws, 0 or more.
        stage: name of the stage; another name gives other draws.
        patch_size: of the model; width and height of its images are multiples of it.
    """

    seed: int = 42
    stage: str = "static"
    patch_size: int = 14
