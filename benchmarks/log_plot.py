"""Curves on two logarithmic axes as an SVG image."""

import io
from collections.abc import Mapping, Sequence

COLORS = ("#146ec8", "#e1551e", "#289646", "#963caa", "#6e6e6e")
PAPER, GRID = "#fafafa", "#d2d2d2"
SIZE = (6.4, 4.2)  # inches of 72 points
# Text stays text, and the same curves give the same bytes.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "log_plot", "font.family": "sans-serif", "axes.edgecolor": GRID}


def log_plot(curves: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> str:
    """Return an SVG image of curves by label, each a list of (x, y) > 0; curves without points are left out.

    A label that ends in ")" comes from another place: its curve is dashed. In the SVG, a curve's group has its label as id.

    Raises:
        ModuleNotFoundError: matplotlib is not installed (extra `bench`).
    """
    import matplotlib
    from matplotlib.figure import Figure  # pyplot would keep figures, and want a display
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    svg = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure = Figure(SIZE, facecolor=PAPER, layout="constrained")
        axes = figure.subplots()
        axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=y_label, facecolor=PAPER)
        shown = {label: sorted(points) for label, points in curves.items() if points}
        for (label, points), color in zip(shown.items(), COLORS, strict=False):
            style = "--" if label.endswith(")") else "-"
            axes.plot(*zip(*points, strict=True), marker="o", ms=4, ls=style, color=color, label=label, gid=label)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.grid(color=GRID)
        figure.legend(loc="outside upper left", frameon=False)
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()
