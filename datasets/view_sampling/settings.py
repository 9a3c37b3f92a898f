"""Rules by name: from `sampling` in conf/data to a rule."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType
from typing import Any, get_args, get_type_hints

from zipmap_pl.datasets.view_sampling import rules
from zipmap_pl.datasets.view_sampling.combined import OneOf, Reversed
from zipmap_pl.datasets.view_sampling.rule import ViewRule, expect
from zipmap_pl.discovery import load, names_in
from zipmap_pl.errors import UserError

ONE_OF = "one_of"
DEFAULT_RULE = "video_or_collection"


def rule_names() -> list[str]:
    """Every name that `rule` may have: one per file in `rules/`, and "one_of"."""
    return [*names_in(rules), ONE_OF]


def make_rule(settings: Mapping[str, Any], where: str, start_frames: int | None = None) -> ViewRule:
    """The rule of a `sampling` block.

    Args:
        settings: `rule`, its name, and the rule's own fields. `reverse`, with any rule: the probability that the order
            is turned round. The rule "one_of" has `choices` instead: blocks like this one, by any name, each with a
            `share`.
        where: whose settings these are, for messages.
        start_frames: this field of the rules that have it, where the settings do not say otherwise.

    Raises:
        UserError: unknown rule or key, or a value of the wrong type or out of range.
    """
    own = dict(settings)
    name, reverse = own.pop("rule", DEFAULT_RULE), own.pop("reverse", 0.0)
    if name not in rule_names():
        raise UserError(f"{where}: rule is {name!r}, expected one of {', '.join(rule_names())}")
    try:
        _check_type("reverse", reverse, float)
        rule = _one_of(own, where, start_frames) if name == ONE_OF else _simple(_kind(name), own, start_frames)
        return Reversed(rule, reverse) if reverse else rule
    except ValueError as error:
        raise UserError(f"{where}: rule {name}: {error}") from error


def fields_in(settings: Mapping[str, Any]) -> set[str]:
    """The fields that the rule of a valid `sampling` block has, those of its choices included."""
    name = settings.get("rule", DEFAULT_RULE)
    if name == ONE_OF:
        return {"reverse"}.union(*map(fields_in, settings["choices"].values()))
    return {"reverse", *_field_names(_kind(name))}


def with_fields(settings: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """A valid `sampling` block with the fields of `common` in every rule that has them, those of its choices included.

    If `common` names a rule, it takes the place of the whole block.
    """
    if "rule" in common:
        return dict(common)
    changed = dict(settings) | {key: common[key] for key in common.keys() & {"reverse"}}
    if settings.get("rule") == ONE_OF:
        inner = {key: value for key, value in common.items() if key != "reverse"}
        changed["choices"] = {name: with_fields(choice, inner) for name, choice in settings["choices"].items()}
        return changed
    return changed | {key: common[key] for key in common.keys() & fields_in(settings)}


def check_common(common: Mapping[str, Any], where: str) -> None:
    """Raise UserError for a field that no rule has. Values are checked where a dataset's rule takes them.

    The file of a rule that cannot be used does not matter here: another rule may have the fields.
    """
    if "rule" in common:
        make_rule(common, where)
        return
    known, broken = {"reverse"}, []
    for name in names_in(rules):
        try:
            known.update(_field_names(_kind(name)))
        except Exception as error:  # whatever somebody's own file raises
            broken.append(f"; rule {name} cannot be used ({type(error).__name__}: {error})")
    unknown = sorted(common.keys() - known)
    if unknown:
        expected = ", ".join(sorted(known)) + "".join(broken)
        raise UserError(f"{where}: no rule has a field {unknown[0]!r}, expected one of {expected}")


def _kind(name: str) -> type:
    """The class of a rule. Raises UserError if its file offers something else."""
    module = load(rules, name, "rule", ["RULE"])
    if not (isinstance(module.RULE, type) and is_dataclass(module.RULE) and hasattr(module.RULE, "draw")):
        raise UserError(f"{module.__file__}: RULE is {module.RULE!r}, expected a dataclass with a method draw")
    return module.RULE


def _field_names(kind: type) -> list[str]:
    """The fields that settings may give; those of a preset that are fixed (`init=False`) are not among them."""
    return [entry.name for entry in fields(kind) if entry.init]


def _simple(kind: type, settings: dict[str, Any], start_frames: int | None) -> ViewRule:
    types = get_type_hints(kind)
    names = _field_names(kind)
    _check_keys(settings, [*names, "reverse"])
    for key, value in settings.items():
        _check_type(key, value, types[key])
    if start_frames is not None and "start_frames" in names:
        settings.setdefault("start_frames", start_frames)
    return kind(**settings)


def _one_of(settings: dict[str, Any], where: str, start_frames: int | None) -> ViewRule:
    _check_keys(settings, ["choices", "reverse"])
    choices = settings.get("choices")
    expect(isinstance(choices, Mapping) and bool(choices), "choices", choices, "blocks of rules by name")
    shares, rules = [], []
    for name in sorted(settings["choices"]):  # their order in the file must not change what is drawn
        expect(
            isinstance(settings["choices"][name], Mapping),
            f"choices.{name}",
            settings["choices"][name],
            "a block of a rule",
        )
        choice = dict(settings["choices"][name])
        share = choice.pop("share", 1.0)
        _check_type(f"choices.{name}.share", share, float)
        shares.append(share)
        rules.append(make_rule(choice, f"{where}.choices.{name}", start_frames))
    return OneOf(tuple(rules), tuple(shares))


def _check_keys(settings: Mapping[str, Any], known: list[str]) -> None:
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"no key {', '.join(map(repr, unknown))}, expected {', '.join(known)}")


def _check_type(key: str, value: object, wanted: Any) -> None:
    allowed = get_args(wanted) or (wanted,)
    allowed = (*allowed, int) if float in allowed else allowed
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        names = " or ".join(
            "null" if kind is NoneType else kind.__name__ for kind in dict.fromkeys(get_args(wanted) or (wanted,))
        )
        raise ValueError(f"{key} is {value!r}, expected {names}")
