"""Weights of the training loss as plain data; imports no torch."""

import os
from dataclasses import dataclass, field


@dataclass
class CameraWeights:
    """Weights inside the camera loss."""

    translation: float
    rotation: float
    field_of_view: float


@dataclass
class LossConfig:
    """Weights of the terms and settings of the losses; the defaults are the published ones unless said otherwise."""

    camera: float = 5.0
    points: float = 1.0
    normals: float = 1.0
    depth_confidence: float = 1.0
    depth_regression: float = 1.0
    depth_gradient: float = 1.0
    query_colour: float = 10.0  # the query terms count in state-query stages only
    query_squared_error: float = 1.0  # inside query_colour
    query_perceptual: float = 0.5  # inside query_colour; 0 needs no weights of VGG16
    query_depth: float = 1.0  # each of its three terms
    vgg_weights: str | None = None  # file of torchvision's VGG16 for query_perceptual; None = torchvision's cache
    reference_view: CameraWeights = field(default_factory=lambda: CameraWeights(1.0, 1.0, 0.5))
    affine_invariant: CameraWeights = field(default_factory=lambda: CameraWeights(10.0, 0.2, 0.5))  # without that view
    cameras_without_depth: bool = True  # scenes without any depth train the camera terms; False: nothing, as published
    camera_by_any_view: bool = (
        False  # no reference view: scenes count if any view has 100 valid pixels, not only the first
    )
    depth_by_scene: bool = (
        False  # the largest depth errors are dropped, and means taken, per scene instead of per batch
    )
    edges_at_holes: bool = True  # normals: pixels next to an invalid one count as depth edges, as published
    alpha: float = 0.2  # reward for confidence
    valid_range: float = 0.98  # share of the depth errors that count, the largest are dropped
    scale_samples: int = 4096  # points per scene that the scale solver looks at
    extra: dict[str, float] = field(
        default_factory=dict
    )  # terms of one's own: file of losses/, or module.function -> weight

    def __post_init__(self) -> None:
        if self.vgg_weights is not None:
            self.vgg_weights = os.path.expanduser(self.vgg_weights)
