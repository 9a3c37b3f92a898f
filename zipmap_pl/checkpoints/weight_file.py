"""One file of weights, .pt or .safetensors, read without executing anything and written whole or not at all.

Published .pt files hold a flat state dict, or one under "model" (or "ema") beside what training left there; others have it
under another name, such as "state_dict". The files
that we write have the same layout, and carry under `OUR_KEY` what the tensors do not tell.
"""

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zipmap_pl.checkpoints.tensor_files import write_pt, write_safetensors
from zipmap_pl.errors import UserError
from zipmap_pl.files import new_file

SUFFIXES = (".pt", ".safetensors")
OUR_KEY = "zipmap_pl"
STATE_DICT_KEYS = ("model", "ema")  # the first one that is there is taken
MODULE_PREFIX = "model."  # of the model inside a LightningModule, where all keys have it
WRAPPER_NAMES = {"module", "_orig_mod", "_fsdp_wrapped_module"}  # of DDP, torch.compile and FSDP


@dataclass
class WeightFile:
    """Tensors by their published keys, on the CPU or where they were given.

    Attributes:
        name: for messages.
        carried: what the file says besides its tensors; empty in files that others wrote.
    """

    name: str
    weights: dict[str, Tensor]
    carried: dict[str, Any] = field(default_factory=dict)


def read_weight_file(path: Path) -> WeightFile:
    """Read a .pt or .safetensors file. Raises UserError: damaged, unsafe, or something else than tensors by name."""
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return unwrapped(read_pt(path), str(path))


def read_pt(path: Path) -> object:
    """What torch.save wrote: tensors and plain values. Raises UserError: damaged, or more than that; nothing is executed."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: found a pickle that holds more than tensors and plain values, or a damaged one; nothing of it was "
            "executed; expected weights as torch.save writes them, or .safetensors"
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError, TypeError, IndexError) as error:  # what torch.load falls over
        raise _damaged(path, error) from error


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safe_open(path, framework="pt") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (the file is no mapping)
            carried = json.loads((file.metadata() or {}).get(OUR_KEY, "{}"))
    except (SafetensorError, ValueError) as error:
        raise _damaged(path, error) from error
    return WeightFile(str(path), _plain_keys(weights, str(path)), _checked(carried, str(path)))


def _damaged(path: Path, error: Exception) -> UserError:
    reason = (str(error).splitlines() or ["empty"])[0].split(". ")[0]
    kind = path.suffix or "no suffix"
    return UserError(f"{path}: not readable as weights ({kind}: {reason}); fetch the file again, it may be cut short")


def unwrapped(content: object, name: str) -> WeightFile:
    """The state dict in what a .pt file held, whatever it was wrapped in. Raises UserError if there is none."""
    carried = {}
    if isinstance(content, Mapping):
        carried = content.get(OUR_KEY, {})
        content = next(
            (content[key] for key in STATE_DICT_KEYS if isinstance(content.get(key), Mapping)), None
        ) or _only_one(content, name)
    return WeightFile(name, _plain_keys(content, name), _checked(carried, name))


def _only_one(content: Mapping[Any, Any], name: str) -> Mapping[Any, Any]:
    """The one state dict among entries of other kinds, whatever it is called; `content` itself if it holds tensors or none.

    Raises UserError if there are several.
    """
    if any(isinstance(value, Tensor) for value in content.values()):
        return content
    found = [key for key, value in content.items() if _are_tensors(value)]
    if len(found) > 1:
        raise UserError(
            f"{name}: found several state dicts ({', '.join(map(str, found))}), expected one, or one called "
            f"{STATE_DICT_KEYS[0]}; save the one that you mean by itself"
        )
    return content[found[0]] if found else content


def _are_tensors(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(each, Tensor) for each in value.values())


def _plain_keys(content: object, name: str) -> dict[str, Tensor]:
    """The tensors without the prefixes that wrappers leave in their keys."""
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{name}: found {_in_words(content)}, expected tensors by name (a state dict)")
    weights = {}
    prefix = MODULE_PREFIX if all(str(key).startswith(MODULE_PREFIX) for key in content) else ""
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise UserError(f"{name}: entry {key!r} is {_in_words(value)}, expected tensors by name (a state dict)")
        plain = ".".join(part for part in key.removeprefix(prefix).split(".") if part not in WRAPPER_NAMES)
        if plain in weights:
            raise UserError(f"{name}: holds {plain} twice, with and without a wrapper's prefix; expected it once")
        weights[plain] = value
    return weights


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return f"a dictionary with {', '.join(map(str, list(value)[:3]))}, ..." if value else "nothing"
    return f"a value of type {type(value).__name__}"


def _checked(carried: object, name: str) -> dict[str, Any]:
    """Settings are data: what could make a settings library look something up or call it is refused."""
    if not isinstance(carried, dict):
        raise UserError(f"{name}: {OUR_KEY} holds {_in_words(carried)}, expected settings by name")
    require_plain_values(str(carried), name)
    return carried


def require_plain_values(text: str, name: str) -> None:
    """Raise a UserError if settings, written out as text, hold a `_target_` or an interpolation."""
    for forbidden in ("_target_", "${"):
        if forbidden in text:
            raise UserError(f"{name}: its settings hold `{forbidden}`, expected plain values; do not trust this source")


def write_weight_file(path: Path, weights: Mapping[str, Tensor], carried: dict[str, Any]) -> None:
    """Write .pt or .safetensors; an existing file is replaced when the new one is whole. Raises UserError: other suffix."""
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: found suffix {path.suffix or 'none'}, expected one of {', '.join(SUFFIXES)}")
    with new_file(path) as temporary:
        if path.suffix == ".safetensors":
            # One entry alone: several come in an order that changes from call to call, and the same weights give other bytes.
            write_safetensors(temporary, weights, {OUR_KEY: json.dumps(carried)})
        else:
            tensors = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
            write_pt(temporary, {STATE_DICT_KEYS[0]: tensors, OUR_KEY: carried})
