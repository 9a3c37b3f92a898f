"""The heads that a model can have: one row each. Whoever builds, runs, saves or recognizes heads goes over these rows.

Activations and classes are named and looked up when a model is built, so that settings are checked without torch.
"""

from dataclasses import dataclass

IMAGES, RAYS = "images", "rays"
EXTRA = "extra_heads"


@dataclass(frozen=True)
class CameraRow:
    """A camera head; the setting `camera_head.kind` chooses one.

    Attributes:
        key: attribute of the model, with which the published names of its parameters begin.
        layer: class in `models.heads.camera`.
        each_alone: it looks at one view at a time, as a stream of views needs it.
    """

    key: str
    layer: str
    each_alone: bool


@dataclass(frozen=True)
class DenseRow:
    """A dense head: maps of the size of the views.

    Attributes:
        key: attribute of the model, with which the published names of its parameters begin.
        channels: of the raw maps.
        activation: function in `models.heads.activations`: raw maps [..., channels] -> a tensor, or a tuple with
            one for each field.
        fields: what it fills, of `Prediction`; a head for rays also of `QueriedViews`.
        looks_at: IMAGES, or RAYS of views that the scene is queried for.
        switch: setting of the model that turns it on: true, or a list that has the key. None = every model has it.
    """

    key: str
    channels: int
    activation: str
    fields: tuple[str, ...]
    looks_at: str = IMAGES
    switch: str | None = EXTRA

    def on(self, config: object) -> bool:
        """Return True if a model of this ModelConfig has the head."""
        if self.switch is None:
            return True
        value = getattr(config, self.switch)
        return self.key in value if isinstance(value, list) else value


CAMERA_HEADS = {  # by kind
    "iterative": CameraRow("camera_head", "CameraHead", each_alone=False),
    "mlp": CameraRow("camera_mlp_head", "MLPCameraHead", each_alone=True),
}
# In the order in which a model draws its first parameters: new rows go to the end.
DENSE_HEADS = (
    DenseRow("depth_head", 2, "depth_and_confidence", ("depth", "depth_conf"), switch=None),
    DenseRow("local_point_head", 3, "local_points", ("local_points",), switch="local_point_head"),
    DenseRow("nvs_head", 5, "colour_and_depth", ("nvs_pred", "nvs_depth_conf"), RAYS, switch="query_head"),
)


def dense_heads(config: object, *looks_at: str) -> list[DenseRow]:
    """The dense heads of a model of this ModelConfig; with `looks_at`, those that look at such views."""
    return [row for row in DENSE_HEADS if row.on(config) and (not looks_at or row.looks_at in looks_at)]


def extra_heads() -> list[str]:
    """Keys of the heads that `extra_heads` can name."""
    return [row.key for row in DENSE_HEADS if row.switch == EXTRA]


def extra_maps() -> set[str]:
    """Fields of `Prediction` that `extra_heads` can fill for the views of a scene."""
    return {field for row in DENSE_HEADS if row.switch == EXTRA and row.looks_at == IMAGES for field in row.fields}
