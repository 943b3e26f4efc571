"""Three kinds of plots as plain SVG: a histogram, stacked columns over time, stacked bars. Knows numbers and colours, no items.

No scripts and no library: the page can be kept, mailed and printed. Every colour has its word in a legend or on its axis.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 620, 230
LEFT, RIGHT, TOP, BOTTOM = 62, 26, 30, 40
COLUMNS = 40
PALETTE = ("#2b6cb0", "#a9b4c2", "#d97706", "#6b46c1", "#2f855a", "#b83280", "#4a5568", "#0e7490")


@dataclass(frozen=True, slots=True)
class Axis:
    words: str
    low: float
    high: float

    def at(self, value: float, from_px: float, to_px: float) -> float:
        span = self.high - self.low
        return from_px + (to_px - from_px) * ((value - self.low) / span if span else 0.5)


@dataclass(frozen=True, slots=True)
class Columns:
    """Equal steps along x, each a stack of named counts."""

    x: Axis
    stacks: Sequence[Mapping[str, int]]
    colours: Mapping[str, str]
    marks: Mapping[str, float] = field(default_factory=dict)  # named places on x, as dashed lines


def histogram(words: str, values: Sequence[float], marks: Mapping[str, float]) -> str:
    """Empty when there is nothing to show. What lies beyond the 99.5th percentile stands in the last column."""
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return ""
    low = min(0.0, finite[0])
    high = _round_up(max(finite[min(len(finite) - 1, int(0.995 * len(finite)))], *marks.values(), low + 1e-3))
    counts = [0] * COLUMNS
    for value in finite:
        counts[min(COLUMNS - 1, int((value - low) / (high - low) * COLUMNS))] += 1
    stacks = [{"items": count} for count in counts]
    return columns(words, Columns(Axis(words, low, high), stacks, {"items": PALETTE[0]}, marks), legend=False)


def columns(title: str, plot: Columns, *, legend: bool = True) -> str:
    tallest = max((sum(stack.values()) for stack in plot.stacks), default=0)
    if not tallest:
        return ""
    y = Axis("items", 0, _round_up(tallest))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    step_px = (right - LEFT) / len(plot.stacks)
    parts = [_frame(plot.x, y)]
    for number, stack in enumerate(plot.stacks):
        base = 0
        for name, count in stack.items():
            if count:
                top, under = y.at(base + count, bottom, TOP), y.at(base, bottom, TOP)
                left = LEFT + number * step_px
                parts.append(_rect(left + 0.5, top, step_px - 1, under - top, plot.colours[name], f"{name}: {count}"))
                base += count
    parts += [_mark(name, plot.x.at(at, LEFT, right), row) for row, (name, at) in enumerate(plot.marks.items())]
    if legend:
        parts.append(_legend(plot.colours))
    return _svg(title, HEIGHT, parts)


def bars(title: str, stacks: Mapping[str, Mapping[str, int]], colours: Mapping[str, str]) -> str:
    """One lying bar per name."""
    longest = max((sum(stack.values()) for stack in stacks.values()), default=0)
    if not longest:
        return ""
    left, each_px = 150, 30
    height = TOP + each_px * len(stacks) + 8
    x = Axis("items", 0, longest)
    parts = []
    for row, (name, stack) in enumerate(stacks.items()):
        top, base = TOP + row * each_px, 0
        parts.append(_text(left - 8, top + 17, name, "end"))
        for part, count in stack.items():
            start, end = x.at(base, left, WIDTH - 70), x.at(base + count, left, WIDTH - 70)
            parts.append(_rect(start, top + 3, end - start, each_px - 8, colours[part], f"{part}: {count}"))
            base += count
        parts.append(_text(x.at(base, left, WIDTH - 70) + 6, top + 17, str(base)))
    parts.append(_legend(colours))
    return _svg(title, height, parts)


# -- parts -----------------------------------------------------------------------------------------------------------


def _frame(x: Axis, y: Axis) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for value in _ticks(y):
        at = y.at(value, bottom, TOP)
        parts += [_line(LEFT, at, right, at, "#e2e2e2"), _text(LEFT - 6, at + 4, _short(value), "end")]
    for value in _ticks(x):
        at = x.at(value, LEFT, right)
        parts += [_line(at, bottom, at, bottom + 4, "#888"), _text(at, bottom + 17, _short(value), "middle")]
    parts.append(_text((LEFT + right) / 2, HEIGHT - 6, x.words, "middle"))
    parts.append(
        f'<text transform="translate(12 {(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">{y.words}</text>'
    )
    return "".join([*parts, _line(LEFT, bottom, right, bottom, "#888")])


def _mark(name: str, at_px: float, row: int) -> str:
    anchor, shift = ("end", -4) if at_px > WIDTH * 0.8 else ("start", 4)
    line = _line(at_px, TOP - 6, at_px, HEIGHT - BOTTOM, "#222", 'stroke-dasharray="4 3"')
    return line + _text(at_px + shift, TOP + 6 + 13 * row, name, anchor)


def _legend(colours: Mapping[str, str]) -> str:
    parts, at = [], float(LEFT)
    for name, colour in colours.items():
        parts += [_rect(at, 8, 11, 11, colour, name), _text(at + 16, 18, name)]
        at += 32 + 7.2 * len(name)
    return "".join(parts)


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    head = f'<svg role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"><title>{escape(title)}</title>'
    return head + "".join(parts) + "</svg>"


def _rect(x: float, y: float, width: float, height: float, colour: str, words: str) -> str:
    size = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.3):.1f}" height="{max(height, 0.3):.1f}"'
    return f'<rect {size} fill="{colour}"><title>{escape(words)}</title></rect>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _ticks(axis: Axis) -> list[float]:
    """Four to eight round values."""
    step = 10.0 ** math.floor(math.log10(max(axis.high - axis.low, 1e-9)))
    for factor in (0.1, 0.2, 0.25, 0.5, 1.0):
        if (axis.high - axis.low) / (step * factor) <= 8:
            step *= factor
            break
    first = math.ceil(axis.low / step - 1e-9)
    return [number * step for number in range(first, math.floor(axis.high / step + 1e-9) + 1)]


def _round_up(value: float) -> float:
    """The next value with one or two leading digits."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(
        factor * power for factor in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if factor * power >= value * (1 - 1e-9)
    )


def _short(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1000 else f"{value:g}"
