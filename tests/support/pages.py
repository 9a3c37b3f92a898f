"""Examples of docs/extending.md, for tests that follow them to the letter."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def blocks_of(section: str, language: str) -> list[str]:
    """The blocks of code in a section of the page, in their order."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
