"""Curves on two logarithmic axes as an SVG picture, written out by hand: benchmarks run where no plotting library is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

COLOURS = ("#146ec8", "#e1551e", "#289646", "#963caa", "#6e6e6e")
WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 20, 50
LINE = 18  # height of a line of the legend


@dataclass(frozen=True)
class Axis:
    """One axis: its label, and its ends in values and in pixels."""

    label: str
    low: float
    high: float
    start: float
    end: float

    def pixel(self, value: float) -> float:
        """Where a value stands."""
        share = log10(value / self.low) / log10(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """1, 2 and 5 times the powers of ten between the ends."""
        decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        values = [float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)]
        return [value for value in values if self.low <= value <= self.high]


def log_plot(curves: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> str:
    """An SVG picture of curves by label, each a list of (x, y) > 0; curves without points are left out.

    A label that ends in ")" tells of somewhere else: its curve is dashed.
    """
    shown = {label: sorted(points) for label, points in curves.items() if points}
    xs, ys = ([point[axis] for points in shown.values() for point in points] for axis in (0, 1))
    head_room = (max(ys) / min(ys)) ** 0.3 * 1.5  # for the legend
    x_axis = Axis(x_label, min(xs) / 1.1, max(xs) * 1.1, LEFT, WIDTH - RIGHT)
    y_axis = Axis(y_label, min(ys) / 1.2, max(ys) * head_room, HEIGHT - BOTTOM, TOP)
    parts = [*_grid(x_axis, y_axis)]
    for index, (label, points) in enumerate(shown.items()):
        parts += _curve(label, [(x_axis.pixel(x), y_axis.pixel(y)) for x, y in points], index)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#1e1e1e">'
    )
    return "\n".join([opening, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fafafa"/>', *parts, "</svg>"]) + "\n"


def _grid(x_axis: Axis, y_axis: Axis) -> list[str]:
    line = '<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="#d2d2d2"/>'
    text = '<text x="{}" y="{}" text-anchor="{}">{}</text>'
    parts = []
    for value in x_axis.ticks():
        x = x_axis.pixel(value)
        parts += [
            line.format(x, y_axis.end, x, y_axis.start),
            text.format(x, y_axis.start + 18, "middle", f"{value:g}"),
        ]
    for value in y_axis.ticks():
        y = y_axis.pixel(value)
        parts += [
            line.format(x_axis.start, y, x_axis.end, y),
            text.format(x_axis.start - 8, y + 4, "end", f"{value:g}"),
        ]
    middle_x, middle_y = (x_axis.start + x_axis.end) / 2, (y_axis.start + y_axis.end) / 2
    parts.append(text.format(middle_x, HEIGHT - 12, "middle", escape(x_axis.label)))
    parts.append(
        f'<text transform="translate(18 {middle_y}) rotate(-90)" text-anchor="middle">{escape(y_axis.label)}</text>'
    )
    return parts


def _curve(label: str, places: list[tuple[float, float]], index: int) -> list[str]:
    colour = COLOURS[index % len(COLOURS)]
    dashes = ' stroke-dasharray="6 4"' if label.endswith(")") else ""
    stroke = f'fill="none" stroke="{colour}" stroke-width="2"{dashes}'
    y = TOP + LINE * (index + 1)
    points = " ".join(f"{x},{y}" for x, y in places)
    return [
        f'<polyline points="{points}" {stroke}/>',
        *(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places),
        f'<line x1="{LEFT + 12}" y1="{y - 4}" x2="{LEFT + 40}" y2="{y - 4}" {stroke}/>',
        f'<text x="{LEFT + 48}" y="{y}">{escape(label)}</text>',
    ]
