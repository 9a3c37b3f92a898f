"""Examples of the pages in docs/, for tests that follow them to the letter."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def blocks_of(section: str, language: str, page: str = "extending.md") -> list[str]:
    """The blocks of code in a section of a page, in their order."""
    text = (DOCS / page).read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
