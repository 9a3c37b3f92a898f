"""The pages about reliability name tests: they must be there."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_every_named_test_exists():
    tests = "\n".join(file.read_text() for file in (CHECKOUT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", tests, flags=re.MULTILINE))
    named = {
        name
        for page in (CHECKOUT / "docs").glob("reliability*.md")
        for name in re.findall(r"`(test_\w+)`", page.read_text())
    }
    assert named and named <= there, named - there
