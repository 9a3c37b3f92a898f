"""Words of reports for people."""


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 scene, 2 scenes."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def passed_over_lines(passed_over: dict[str, dict[str, list[str]]]) -> list[str]:
    """One line for each reason of `passed_over` in dataset.json: how many frames, and the first."""
    lines = []
    for reason, scenes in passed_over.items():
        scene, frames = next(iter(scenes.items()))
        count = sum(map(len, scenes.values()))
        lines.append(
            f"passed over: {counted(count, 'frame')} of {counted(len(scenes), 'scene')}: {reason} ({scene}/{frames[0]} is the first)"
        )
    return lines
