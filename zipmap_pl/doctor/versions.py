"""Versions of this package, of what it needs, and which extras are there."""

import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from zipmap_pl.doctor.section import Section
from zipmap_pl.version import __version__, code_commit

PACKAGE = "zipmap_pl"
FOR_DEVELOPERS = {"test", "test-long", "lint"}  # extras that no user needs


def versions(
    requirements: Iterable[str] | None = None, installed: Callable[[str], str | None] | None = None
) -> Section:
    """Every required package with its version, and every extra with what it lacks.

    Broken is a package that is missing, or whose version setup.cfg does not allow.

    Args:
        requirements: as in the package's metadata; by default those.
        installed: the version of a package, None for one that is not there; by default asks this Python.
    """
    section = Section("Versions")
    commit = code_commit()
    section.add(PACKAGE, __version__ + (f", commit {commit}" if commit else ""))
    section.add("Python", f"{platform.python_version()} on {platform.platform()}")
    wanted = [Requirement(text) for text in (requires(PACKAGE) or [] if requirements is None else requirements)]
    installed = installed or _installed
    for need in (each for each in wanted if _is_needed(each, "")):
        _check(section, need, installed(need.name))
    section.lines += _extras(wanted, installed)
    return section


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _is_needed(need: Requirement, extra: str) -> bool:
    return need.marker is None or need.marker.evaluate({"extra": extra})


def _check(section: Section, need: Requirement, found: str | None) -> None:
    """Add the line of a required package."""
    section.add(need.name, found or "missing")
    allowed = str(need.specifier) or "any version"
    remedy = f"python -m pip install '{need.name}{need.specifier}'"
    if found is None:
        section.broken.append(f"{need.name}: not installed, expected {allowed}; {remedy}")
    elif not need.specifier.contains(found, prereleases=True):
        section.broken.append(f"{need.name}: found {found}, expected {allowed}; {remedy}")


def _extras(wanted: list[Requirement], installed: Callable[[str], str | None]) -> Iterable[tuple[str, str]]:
    """A line for each extra: there, or what it lacks."""
    of_extras = [each for each in wanted if not _is_needed(each, "")]
    names = {str(each.marker).partition("extra == ")[2].strip("\"'") for each in of_extras}
    for extra in sorted(names - FOR_DEVELOPERS):
        needs = [part for each in of_extras if _is_needed(each, extra) for part in _parts(each)]
        missing = [name for name in needs if installed(name) is None]
        there = ", ".join(f"{name} {installed(name)}" for name in needs)
        yield f"extra {extra}", f"not installed ({', '.join(missing)})" if missing else there


def _parts(need: Requirement) -> list[str]:
    """The package, and those that its own extras name: fsspec[s3] is fsspec and s3fs."""
    try:
        further = [Requirement(text) for text in requires(need.name) or []] if need.extras else []
    except PackageNotFoundError:
        further = []
    of_extra = [each for each in further if any(not _is_needed(each, "") and _is_needed(each, x) for x in need.extras)]
    return [need.name, *(each.name for each in of_extra)]
