"""Sizes and variants of the model as plain data. The defaults are the published ZipMap; conf/model/ holds other sizes."""

from dataclasses import dataclass, field


@dataclass
class TokenizerConfig:
    """DINOv2-style vision transformer that turns each view into patch tokens."""

    depth: int = 24
    heads: int = 16
    registers: int = 4
    layer_scale: float = 1.0
    position_grid: int = 37  # side of the learned grid of position embeddings, in patches


@dataclass
class TTTConfig:
    """The test-time-training layer: a SwiGLU whose weights are fitted to the tokens of the scene."""

    head_dim: int = 1024
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
    views_per_chunk: int = 8


@dataclass
class ModelConfig:
    """The whole model. `reference_view`: view 0 has its own special tokens and is the world frame; otherwise affine-invariant."""

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
