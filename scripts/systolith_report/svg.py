"""A few shapes of SVG, put together as text."""

from html import escape

__all__ = ["COLORS", "Drawing", "number", "ticks"]

COLORS = {
    "useful": "#4c8a5b", "load weights": "#3f6fa8", "load activations": "#8a63b0", "load parameters": "#9fb3c8",
    "compute": "#4c8a5b", "vector": "#c98a1b", "tables": "#e3c284", "store": "#a83f3f",
    "weights": "#3f6fa8", "activations": "#8a63b0", "parameters": "#9fb3c8", "commands": "#66727f", "results": "#a83f3f",
    "input": "#8a63b0", "output": "#a83f3f", "host": "#d9a3a3",
    "empty": "#cfd6dc", "short_tiles": "#9ec3a6", "banks": "#d98fbf", "fill_drain": "#e0b0a8",
    "logic": "#4c8a5b", "routing": "#c98a1b", "clk-to-q": "#3f6fa8", "setup": "#8a63b0", "clk-skew": "#cfd6dc",
    "lut": "#3f6fa8", "ff": "#8a63b0", "dsp": "#4c8a5b", "bram": "#c98a1b",
    "MAC": "#4c8a5b", "weight bytes": "#3f6fa8", "activation bytes": "#8a63b0", "vector unit": "#c98a1b",
    "fill/drain": "#a83f3f",
}
"""Color of everything that figures show, by name."""


def number(value: float) -> str:
    """A coordinate in few characters."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def ticks(limit: float, count: int = 6) -> list[float]:
    """Round positions from 0 to a limit, about `count` of them."""
    if limit <= 0:
        return [0.0]
    step = 10 ** len(str(int(limit / count))) / 10 if limit >= count else 10.0 ** -2
    while limit / step > count:
        step *= 2.5 if str(step).lstrip("0.").startswith("2") else 2
    return [index * step for index in range(int(limit / step) + 1)]


class Drawing:
    """An SVG under construction, `width` x `height` units.

    Parameters
    ----------
    width, height : float
    title : str
        What it shows, for those who cannot see it.
    """

    def __init__(self, width: float, height: float, title: str):
        self.width, self.height = width, height
        self._parts = [f"<title>{escape(title)}</title>"]

    def rect(self, x: float, y: float, width: float, height: float, color: str, tip: str = "", **attributes) -> None:
        """A filled rectangle, with a text that appears under the mouse."""
        self._parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(width, 0))}" height="{number(max(height, 0))}" '
            f'fill="{color}"{_attributes(attributes)}>{f"<title>{escape(tip)}</title>" if tip else ""}</rect>')

    def text(self, x: float, y: float, text: str, *, size: float = 11, anchor: str = "start", color: str = "#24292f",
             **attributes) -> None:
        """A line of text; (x, y) is on its base line."""
        self._parts.append(f'<text x="{number(x)}" y="{number(y)}" font-size="{size}" text-anchor="{anchor}" '
                           f'fill="{color}"{_attributes(attributes)}>{escape(text)}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, color: str = "#d0d7de", **attributes) -> None:
        """A straight line."""
        self._parts.append(f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}" '
                           f'stroke="{color}"{_attributes(attributes)}/>')

    def circle(self, x: float, y: float, radius: float, color: str, tip: str = "") -> None:
        """A filled circle with a white rim."""
        self._parts.append(f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" fill="{color}" stroke="#fff">'
                           f'{f"<title>{escape(tip)}</title>" if tip else ""}</circle>')

    def polyline(self, points: list[tuple[float, float]], color: str, **attributes) -> None:
        """A line through points."""
        text = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self._parts.append(f'<polyline points="{text}" fill="none" stroke="{color}"{_attributes(attributes)}/>')

    def raw(self, text: str) -> None:
        """Anything else."""
        self._parts.append(text)

    def legend(self, x: float, y: float, entries: list[tuple[str, str]]) -> None:
        """Colored squares with names, in a row."""
        for color, name in entries:
            self.rect(x, y - 9, 10, 10, color)
            self.text(x + 14, y, name)
            x += 34 + 6 * len(name)

    def __str__(self) -> str:
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(self.width)} {number(self.height)}" '
                f'role="img" font-family="system-ui, sans-serif">{"".join(self._parts)}</svg>')


def _attributes(attributes: dict) -> str:
    return "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for name, value in attributes.items())
