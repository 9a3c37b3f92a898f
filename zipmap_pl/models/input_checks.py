"""What is given to a model is looked at before any work is done; what is wrong is told in one line."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from zipmap_pl.contracts.scene_state import SceneState
from zipmap_pl.errors import UserError
from zipmap_pl.models.aggregator import RAY_CHANNELS
from zipmap_pl.models.mixers.scene_mixer import SceneMixer

PICTURE_CHANNELS = 3
OVERSHOOT = 0.2  # beyond [0, 1]: bicubic resizing leaves that much at edges


def checked_images(images: Tensor | Sequence[Tensor], patch_size: int, values: bool) -> Tensor:
    """Pictures as [B, S, 3, H, W].

    Args:
        images: [B, S, 3, H, W], or [S, 3, H, W] or a sequence of [3, H, W] for one scene.
        values: look at the values too; never done while compiling. On a GPU the call waits for the answer.

    Raises:
        ValueError: no views, views of different sizes, another shape, sides that are no multiples of the patch size,
            integers, values outside [0, 1] or not finite.
    """
    images = _checked(images, "images", PICTURE_CHANNELS, patch_size)
    if values and not torch.compiler.is_compiling():
        _check_values(images)
    return images


def checked_rays(rays: Tensor | Sequence[Tensor], patch_size: int) -> Tensor:
    """Query rays as [B, T, 9, H, W]; shapes and errors as for pictures, but any value."""
    return _checked(rays, "rays", RAY_CHANNELS, patch_size)


def check_state(state: SceneState, mixers: Sequence[SceneMixer], scenes: int, device: torch.device) -> None:
    """Raise UserError if this is not, on `device`, a state of `scenes` scenes and of a model with these mixers."""
    fault = next(_state_faults(state, mixers, scenes, device), None)
    if fault is not None:
        raise UserError(f"scene state: found {fault}")


def _state_faults(state: SceneState, mixers: Sequence[SceneMixer], scenes: int, device: torch.device) -> Iterator[str]:
    if len(state.layers) != len(mixers):
        yield f"{len(state.layers)} layers, expected {len(mixers)} as the model has; query the model that made it"
    for index, (mixer, layer) in enumerate(zip(mixers, state.layers, strict=True)):
        yield from (f"in layer {index} {fault}" for fault in mixer.faults(layer, scenes))
    if mixers[0].keeps_camera_tokens and (state.camera_tokens is None or len(state.camera_tokens) != scenes):
        yield f"no camera tokens of {scenes} scenes, expected those of their views; query the model that made it"
    places = {tensor.device for tensor in state.layers[0].values()}
    if places != {device}:
        yield f"it on {', '.join(map(str, places))}, expected {device}; move it with .to"
    if not mixers[0].began_here(state.layers[0]):  # one layer tells; all of them would take a frame's time in a stream
        yield "the norms of other weights, expected those of this model; query the model that made it"


def _checked(given: Tensor | Sequence[Tensor], name: str, channels: int, patch_size: int) -> Tensor:
    views = given if isinstance(given, Tensor) else _stacked(given, name, channels)
    shape = tuple(views.shape)
    if views.ndim not in (4, 5) or shape[-3] != channels or 0 in shape:
        raise ValueError(
            f"{name} have shape {shape}, expected [B, S, {channels}, H, W] or [S, {channels}, H, W], no length being 0"
        )
    if shape[-2] % patch_size or shape[-1] % patch_size:
        raise ValueError(
            f"{name} are {shape[-2]} x {shape[-1]} pixels, expected multiples of the patch size {patch_size}"
        )
    if not views.is_floating_point():
        raise ValueError(f"{name} are {views.dtype}, expected floating point (pictures in [0, 1]: divide by 255)")
    return views if views.ndim == 5 else views.unsqueeze(0)


def _stacked(views: Sequence[Tensor], name: str, channels: int) -> Tensor:
    """[S, channels, H, W] of equally large views [channels, H, W]."""
    if not isinstance(views, Sequence) or not all(isinstance(view, Tensor) for view in views):
        raise ValueError(f"{name} are a {type(views).__name__}, expected a tensor, or a sequence of tensors")
    if not views:
        raise ValueError(f"{name} hold no views, expected one or more")
    first = tuple(views[0].shape)
    for index, view in enumerate(views):
        if tuple(view.shape) != first:
            raise ValueError(
                f"{name} differ in size: view 0 has shape {first}, view {index} has {tuple(view.shape)}; expected "
                f"[{channels}, H, W], the same for all views of a call"
            )
    return torch.stack(tuple(views))


def _check_values(images: Tensor) -> None:
    low, high = torch.stack(images.aminmax()).tolist()  # one wait for a GPU, not two
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        return
    if high > 2 and low >= -OVERSHOOT:
        advice = "divide by 255" if high <= 256 else "scale them"
    elif low < -OVERSHOOT:
        advice = "do not normalise them, the model does; clamp them if resizing made them so"
    else:
        advice = "clamp or scale them, and look for values that are not finite"
    raise ValueError(f"images hold values from {low:.3g} to {high:.3g}, expected them in [0, 1]: {advice}")
