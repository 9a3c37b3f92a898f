"""The report as text that can be pasted into an issue."""

import getpass
import re
from pathlib import Path

from zipmap_pl.doctor.section import Section

WIDTH = 26  # of the names


def report(sections: list[Section]) -> str:
    """The sections as plain text, and at the end what is broken. Nothing in it is secret; see `without_secrets`."""
    blocks = [
        "\n".join([section.title, *(f"  {name:{WIDTH}} {value}" for name, value in section.lines)])
        for section in sections
    ]
    broken = [line for section in sections for line in section.broken]
    end = ["Broken", *(f"  {line}" for line in broken)] if broken else ["Nothing is broken."]
    return without_secrets("\n\n".join([*blocks, "\n".join(end)]))


def without_secrets(text: str) -> str:
    """The text with the home folder as ~, and without the user's name in other paths, the hub's token and passwords in URLs."""
    home, user, token = home_folder(), user_name(), _token()
    if home not in ("", "/"):
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    if user:
        text = re.sub(rf"(?<=[/_]){re.escape(user)}(?=[/,\s]|$)", "<user>", text, flags=re.MULTILINE)
    if token:
        text = text.replace(token, "<token>")
    return re.sub(r"(?<=://)[^/\s@]+@", "<secret>@", text)


def home_folder() -> str:
    """The home folder; empty for users without one, as containers have them."""
    try:
        return str(Path.home())
    except RuntimeError:
        return ""


def user_name() -> str:
    """The user's name; empty for users without one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _token() -> str | None:
    try:
        from huggingface_hub import get_token
    except ImportError:  # that it is missing stands in the report
        return None
    return get_token()
