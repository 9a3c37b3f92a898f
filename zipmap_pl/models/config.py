"""Sizes and variants of the model as plain data. The defaults are the published ZipMap; conf/model/ holds other sizes."""

from dataclasses import dataclass, field

from zipmap_pl.errors import UserError

GLOBAL_MIXERS = ("ttt", "softmax")
NEWTON_SCHULZ_DTYPES = ("bfloat16", "float32")


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
    """The test-time-training layer: a SwiGLU whose weights are fitted to the tokens of the scene."""

    head_dim: int = 1024  # embed_dim // head_dim fast-weight networks side by side
    hidden_multiple: int = 2
    base_learning_rate: float = 0.01
    newton_schulz_steps: int = 5
    newton_schulz_dtype: str = "bfloat16"  # bfloat16 as published, or float32
    gate: bool = True


@dataclass
class CameraHeadConfig:
    """Iterative camera head on the camera tokens of a scene."""

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
    """The whole model. `reference_view`: view 0 has its own special tokens and is the world frame; otherwise affine-invariant.

    Raises UserError for sizes that do not fit together.
    """

    embed_dim: int = 1024
    patch_size: int = 14
    depth: int = 24  # pairs of frame block and global block
    heads: int = 16  # of the frame blocks
    feature_blocks: list[int] = field(default_factory=lambda: [4, 11, 17, 23])
    global_mixer: str = "ttt"  # ttt or softmax
    layer_scale: float = 0.01
    token_std: float = 1e-6
    reference_view: bool = True
    checkpoint_activations: bool = False
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    ttt: TTTConfig = field(default_factory=TTTConfig)
    camera_head: CameraHeadConfig = field(default_factory=CameraHeadConfig)
    dense_head: DenseHeadConfig = field(default_factory=DenseHeadConfig)

    def __post_init__(self) -> None:
        for fault, wanted in self._faults():
            raise UserError(f"model config: found {fault}, expected {wanted}")

    def _faults(self) -> list[tuple[str, str]]:
        """What does not fit together, as (found, expected)."""
        levels, features = list(self.dense_head.level_channels), list(self.feature_blocks)
        head_dim = self.embed_dim // self.heads
        checks = [
            (
                self.global_mixer in GLOBAL_MIXERS,
                f"global_mixer={self.global_mixer}",
                f"one of {', '.join(GLOBAL_MIXERS)}",
            ),
            (
                self.ttt.newton_schulz_dtype in NEWTON_SCHULZ_DTYPES,
                f"ttt.newton_schulz_dtype={self.ttt.newton_schulz_dtype}",
                f"one of {', '.join(NEWTON_SCHULZ_DTYPES)}",
            ),
            (
                self.embed_dim % self.heads == 0 and head_dim % 4 == 0,
                f"embed_dim={self.embed_dim} with heads={self.heads}",
                "a head width that is a whole multiple of 4 (two image axes, two halves of a rotation)",
            ),
            (
                self.embed_dim % self.tokenizer.heads == 0,
                f"tokenizer.heads={self.tokenizer.heads}",
                f"a divisor of embed_dim={self.embed_dim}",
            ),
            (
                self.global_mixer != "ttt" or self.embed_dim % self.ttt.head_dim == 0,
                f"ttt.head_dim={self.ttt.head_dim}",
                f"a divisor of embed_dim={self.embed_dim}",
            ),
            (
                2 * self.embed_dim % self.camera_head.heads == 0,
                f"camera_head.heads={self.camera_head.heads}",
                f"a divisor of 2 * embed_dim={2 * self.embed_dim}",
            ),
            (
                self.camera_head.iterations >= 1,
                f"camera_head.iterations={self.camera_head.iterations}",
                "at least 1",
            ),
            (
                len(features) == 4 and features == sorted(set(features)) and 0 <= features[0],
                f"feature_blocks={features}",
                "four different block indices in ascending order",
            ),
            (
                features[-1:] == [self.depth - 1],
                f"feature_blocks={features} with depth={self.depth}",
                f"the last one to be the last block, {self.depth - 1}",
            ),
            (
                len(levels) == 4 and all(c % 4 == 0 for c in levels),
                f"dense_head.level_channels={levels}",
                "four multiples of 4",
            ),
            (
                self.dense_head.features % 8 == 0,
                f"dense_head.features={self.dense_head.features}",
                "a multiple of 8",
            ),
        ]
        return [(found, expected) for holds, found, expected in checks if not holds]
