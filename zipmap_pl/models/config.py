"""Sizes and variants of the model as plain data. The defaults are the published ZipMap; conf/model/ has other sizes."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from zipmap_pl import discovery
from zipmap_pl.checks import refuse
from zipmap_pl.errors import UserError
from zipmap_pl.models.heads import table
from zipmap_pl.models.mixers import kinds

if TYPE_CHECKING:
    from zipmap_pl.models.mixers.scene_mixer import SceneMixer

UPDATE_RULES = ("newton_schulz", "gradient", "momentum")
NEWTON_SCHULZ_DTYPES = ("bfloat16", "float32")
MAY_BE_ZERO = ("registers", "newton_schulz_steps")  # of the whole numbers; the others count from one


@dataclass
class TokenizerConfig:
    """DINOv2-style vision transformer that turns each view into patch tokens."""

    depth: int = 24
    heads: int = 16
    registers: int = 4  # of the tokenizer itself; 0 = none
    layer_scale: float = 1.0
    position_grid: int = 37  # side of the learned grid of position embeddings, in patches


@dataclass
class TTTConfig:
    """The test-time-training layer: a SwiGLU whose weights are fitted to the tokens of the scene.

    The published model has the defaults. The ablations of the paper: `gate: false`; `update_rule: gradient`;
    `global_learning_rate: 0.1` or `1.0`. `update_rule: momentum` keeps past gradients, as its authors suggest for streams.
    """

    head_dim: int = 1024  # embed_dim // head_dim fast-weight networks side by side
    hidden_multiple: int = 2
    base_learning_rate: float = 0.01  # of a token whose learned rate is still zero
    global_learning_rate: float | None = None  # one size of every step, instead of learned rates of the tokens
    update_rule: str = "newton_schulz"  # newton_schulz, gradient or momentum
    newton_schulz_steps: int = 5  # 0: the gradient divided by its norm
    newton_schulz_dtype: str = "bfloat16"  # bfloat16 as published, or float32
    momentum: float = 0.9  # what is left of a past gradient, with update_rule momentum
    gate: bool = True

    def faults(self, dim: int) -> Iterator[str]:
        """What does not fit together, or to tokens of `dim` channels."""
        for name in ("base_learning_rate", "global_learning_rate"):
            rate = getattr(self, name)
            if rate is not None and rate <= 0:
                yield f"{name}={rate}, expected more than 0"
        if self.update_rule not in UPDATE_RULES:
            yield f"update_rule={self.update_rule}, expected one of {', '.join(UPDATE_RULES)}"
        if not 0 <= self.momentum < 1:
            yield f"momentum={self.momentum}, expected 0 or more and less than 1"
        if self.newton_schulz_dtype not in NEWTON_SCHULZ_DTYPES:
            yield f"newton_schulz_dtype={self.newton_schulz_dtype}, expected one of {', '.join(NEWTON_SCHULZ_DTYPES)}"
        if dim % self.head_dim:
            yield f"head_dim={self.head_dim}, expected a divisor of embed_dim={dim}"


@dataclass
class CameraHeadConfig:
    """Camera head: iterative on the camera tokens of a scene, or an MLP on each camera token alone, without settings."""

    kind: str = "iterative"  # iterative or mlp
    trunk_depth: int = 4
    heads: int = 16
    iterations: int = 4
    layer_scale: float = 0.01


@dataclass
class DenseHeadConfig:
    """DPT head: four feature levels to one map per view."""

    features: int = 256
    level_channels: list[int] = field(default_factory=lambda: [256, 512, 1024, 1024])
    hidden: int = 32
    views_per_chunk: int = 8  # decoded at once; memory only, no effect on results


@dataclass
class ModelConfig:
    """The whole model.

    `reference_view`: view 0 has its own special tokens and is the world frame; otherwise the model is affine-invariant.
    `local_point_head`: without it, as in VGGT, the local points are those of the depth and the field of view.
    `query_head`: the model also answers what a camera given by its rays would see.
    `extra_heads`: further dense heads, by their keys in `models.heads.table`.
    Raises UserError for sizes that do not fit together.
    """

    embed_dim: int = 1024
    patch_size: int = 14
    depth: int = 24  # pairs of frame block and global block
    heads: int = 16  # of the frame blocks
    feature_blocks: list[int] = field(default_factory=lambda: [4, 11, 17, 23])
    global_mixer: str = "ttt"  # a name in zipmap_pl/models/mixers/kinds
    mixer: dict[str, Any] = field(default_factory=dict)  # settings of a mixer that has no field of its name here
    layer_scale: float = 0.01
    token_std: float = 1e-6
    reference_view: bool = True
    local_point_head: bool = True
    query_head: bool = False
    extra_heads: list[str] = field(default_factory=list)
    checkpoint_activations: bool = False
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    ttt: TTTConfig = field(default_factory=TTTConfig)
    camera_head: CameraHeadConfig = field(default_factory=CameraHeadConfig)
    dense_head: DenseHeadConfig = field(default_factory=DenseHeadConfig)

    @property
    def streaming(self) -> bool:
        """Return True if views can come one after another: no part of the model looks at a later one."""
        return table.CAMERA_HEADS[self.camera_head.kind].each_alone and self.mixer_kind.streams

    @property
    def mixer_kind(self) -> "type[SceneMixer]":
        """The class of the scene mixer, with its facts."""
        return mixer_kind(self.global_mixer)

    @property
    def mixer_settings(self) -> Any:
        """The settings of the scene mixer, as its own dataclass."""
        if _has_own_field(self.global_mixer):
            return getattr(self, self.global_mixer)
        return _as_settings(self.mixer, self.mixer_kind.Settings)

    def __post_init__(self) -> None:
        refuse("model config", self._faults())
        if not _has_own_field(self.global_mixer):
            self.mixer = asdict(self.mixer_settings)  # with what was left at its default, for those who write it down

    def _faults(self) -> Iterator[str]:
        too_small = list(self._too_small())
        return iter(too_small) if too_small else self._misfits()

    def _too_small(self) -> Iterator[str]:
        """Numbers that mean nothing, whatever the others are."""
        parts: dict[str, Any] = {
            "": self,
            "tokenizer.": self.tokenizer,
            "ttt.": self.ttt,
            "camera_head.": self.camera_head,
            "dense_head.": self.dense_head,
        }
        for prefix, part in parts.items():
            for setting in fields(part):
                lowest, value = int(setting.name not in MAY_BE_ZERO), getattr(part, setting.name)
                if setting.type is int and value < lowest:
                    yield f"{prefix}{setting.name}={value}, expected {lowest} or more"

    def _misfits(self) -> Iterator[str]:
        """What does not fit together."""
        dim, levels, blocks = self.embed_dim, list(self.dense_head.level_channels), list(self.feature_blocks)
        yield from self._mixer_faults()
        if dim % (4 * self.heads):  # two picture axes, two halves of a rotation
            yield f"heads={self.heads}, expected embed_dim={dim} to be a multiple of 4 * heads"
        if dim % self.tokenizer.heads:
            yield f"tokenizer.heads={self.tokenizer.heads}, expected a divisor of embed_dim={dim}"
        if self.camera_head.kind not in table.CAMERA_HEADS:
            yield f"camera_head.kind={self.camera_head.kind}, expected one of {', '.join(table.CAMERA_HEADS)}"
        if not set(self.extra_heads) <= set(table.extra_heads()) or len(set(self.extra_heads)) < len(self.extra_heads):
            known = ", ".join(table.extra_heads()) or "none, as there are none"
            yield f"extra_heads={list(self.extra_heads)}, expected some of {known}, each once"
        if 2 * dim % self.camera_head.heads:
            yield f"camera_head.heads={self.camera_head.heads}, expected a divisor of 2 * embed_dim={2 * dim}"
        if len(blocks) != 4 or blocks != sorted(set(blocks)) or blocks[0] < 0:
            yield f"feature_blocks={blocks}, expected four different block indices in ascending order"
        elif blocks[-1] != self.depth - 1:
            yield f"feature_blocks={blocks} with depth={self.depth}, expected the last one to be {self.depth - 1}"
        if len(levels) != 4 or any(channels < 1 or channels % 4 for channels in levels):
            yield f"dense_head.level_channels={levels}, expected four multiples of 4"
        if self.dense_head.features % 8:
            yield f"dense_head.features={self.dense_head.features}, expected a multiple of 8"

    def _mixer_faults(self) -> Iterator[str]:
        """What is wrong with the choice of the scene mixer and its settings."""
        name, names = self.global_mixer, discovery.names_in(kinds)
        if name not in names:
            yield f"global_mixer={name}, expected one of {', '.join(names)}"
            return
        if self.mixer and _has_own_field(name):
            yield f"mixer={self.mixer} with global_mixer={name}, expected its settings in {name}"
        settings, place = self.mixer_settings, name if _has_own_field(name) else "mixer"
        if hasattr(settings, "faults"):
            yield from (f"{place}.{fault}" for fault in settings.faults(self.embed_dim))
        if self.query_head and not self.mixer_kind.remembers:
            others = mixers_with("remembers")
            yield f"query_head=true with global_mixer={name}, expected {others}, whose state can be queried"


def mixer_kind(name: str) -> "type[SceneMixer]":
    """The class of a scene mixer by name; that needs torch, so nothing here asks before it has to."""
    kind: type[SceneMixer] = discovery.load(kinds, name, "global_mixer", ["Mixer"]).Mixer
    return kind


def mixers_with(fact: str) -> str:
    """The names of the scene mixers of which a fact is true, for messages."""
    return " or ".join(name for name in discovery.names_in(kinds) if getattr(mixer_kind(name), fact))


def mixer_fields(name: str, settings: Any) -> dict[str, Any]:
    """The fields of ModelConfig that say: this scene mixer with these settings."""
    own = {name: settings, "mixer": {}} if _has_own_field(name) else {"mixer": asdict(settings)}
    return {"global_mixer": name, **own}


def _has_own_field(mixer: str) -> bool:
    return any(entry.name == mixer for entry in fields(ModelConfig))


def _as_settings(values: dict[str, Any], kind: type) -> Any:
    if not values:
        return kind()
    from omegaconf import OmegaConf  # those who build a model from a dataclass need no loader of settings
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values))
    except (OmegaConfBaseException, ValueError) as error:
        known = ", ".join(entry.name for entry in fields(kind)) or "none"
        reason = str(error).splitlines()[0]
        raise UserError(f"model config: found mixer={values} ({reason}), expected settings of: {known}") from error
