"""Signals over time, as a waveform viewer draws them."""

from systolith_report.svg import Drawing

__all__ = ["Trace", "wave_chart"]

_WIDTH, _LEFT, _LANE = 960, 170, 22


class Trace:
    """One line of the picture.

    Parameters
    ----------
    label : str
    changes : list of (int, int or str)
        Time and value, in order.
    width : int
        Bits; 1 is drawn as a level, everything else as boxes with values.
    color : str
    signed : bool
        Values are two's complement.
    """

    def __init__(self, label: str, changes: list, *, width: int = 1, color: str = "#cfe2f7", signed: bool = False):
        self.label, self.changes, self.width, self.color, self.signed = label, changes, width, color, signed

    def pieces(self, begin: int, end: int) -> list[tuple[int, int, int | str]]:
        """Time, end and value of every stretch with one value between two times."""
        result = []
        edges = [*self.changes, (end, None)]
        for (first, value), (last, _) in zip(edges, edges[1:], strict=False):
            first, last = max(first, begin), min(last, end)
            if first < last:
                if result and result[-1][2] == value:
                    first = result.pop()[0]
                result.append((first, last, value))
        return result

    def text(self, value: int | str) -> str:
        """A value as text."""
        if isinstance(value, str):
            return value.replace("_", " ")
        return str(value - (1 << self.width) if self.signed and value >> (self.width - 1) else value)


def wave_chart(traces: list[Trace | None], begin: int, end: int, *, period: int, title: str,
               marks: tuple[tuple[int, str], ...] = ()) -> Drawing:
    """Draw traces between two times; None leaves half a lane free.

    Parameters
    ----------
    period : int
        Of the clock: the scale counts cycles from `begin`.
    marks : tuple of (int, str)
        Vertical lines with numbers or letters at times.
    """
    height = 40 + sum(_LANE if trace else _LANE // 2 for trace in traces) + 10
    drawing = Drawing(_WIDTH, height, title)
    scale = (_WIDTH - _LEFT - 10) / (end - begin)
    for time in range(begin, end + 1, period):
        x = _LEFT + scale * (time - begin)
        drawing.line(x, 24, x, height - 8, "#eceff2")
        if (time - begin) // period % 2 == 0:
            drawing.text(x, 14, str((time - begin) // period), anchor="middle", size=9, color="#57606a")
    y = 30.0
    for trace in traces:
        if trace is None:
            y += _LANE // 2
            continue
        drawing.text(_LEFT - 8, y + 13, trace.label, anchor="end", size=10)
        _draw(drawing, trace, begin, end, y, scale)
        y += _LANE
    for time, label in marks:
        x = _LEFT + scale * (time - begin)
        drawing.line(x, 20, x, height - 8, "#a83f3f", stroke_width=1.2)
        drawing.text(x + 3, height - 2, label, size=10, color="#a83f3f")
    return drawing


def _draw(drawing: Drawing, trace: Trace, begin: int, end: int, y: float, scale: float) -> None:
    low, high = y + 17, y + 3
    if trace.width == 1:
        points = []
        for first, last, value in trace.pieces(begin, end):
            level = high if value else low
            points += [(_LEFT + scale * (first - begin), level), (_LEFT + scale * (last - begin), level)]
        drawing.polyline(points, "#3f6fa8", stroke_width=1.5)
        return
    for first, last, value in trace.pieces(begin, end):
        x, width = _LEFT + scale * (first - begin), scale * (last - first)
        text = trace.text(value)
        idle = value in (0, "-")
        drawing.rect(x + 0.5, high, width - 1, low - high, "#f8f9fa" if idle else trace.color, stroke="#9aa5b1",
                     stroke_width=0.6, rx=2, tip=text)
        room = int((width - 2) / 4.6)
        if not idle and room >= min(len(text), 4):
            drawing.text(x + width / 2 if len(text) <= room else x + 4, y + 13.5, text[:room], size=8.5,
                         anchor="middle" if len(text) <= room else "start")
