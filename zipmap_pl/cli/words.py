"""Words of reports for people."""


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 scene, 2 scenes."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
