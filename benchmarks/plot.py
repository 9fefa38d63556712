"""A bar chart in SVG, which needs no plotting library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_COLOURS: Final = ("#0b7285", "#f08c00", "#868e96", "#c92a2a", "#adb5bd", "#5f3dc4", "#2b8a3e")
_LABEL: Final = 130
_WIDTH: Final = 480
_BAR: Final = 14
_GAP: Final = 12
_TOP: Final = 34


@dataclass(frozen=True)
class Bar:
    """A value with the least and the greatest that were measured."""

    title: str
    value: float
    least: float
    greatest: float


def bars(title: str, groups: Mapping[str, Sequence[Bar]]) -> str:
    """Draw groups of horizontal bars under a title."""
    every = [bar for group in groups.values() for bar in group]
    scale = _WIDTH / max([bar.greatest for bar in every], default=1)
    names = list(dict.fromkeys(bar.title for bar in every))
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}
    parts = [f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>']
    y = _TOP
    for group, members in groups.items():
        parts.append(f'<text x="8" y="{y + _BAR - 3}" font-weight="bold">{escape(group)}</text>')
        for bar in members:
            width, low, high = bar.value * scale, bar.least * scale, bar.greatest * scale
            size = f'width="{width:.1f}" height="{_BAR - 2}"'
            range_of = f"M{_LABEL + low:.1f} {y + _BAR / 2}H{_LABEL + high:.1f}"
            text = f"{bar.value:.0f} {escape(bar.title)}"
            parts += [
                f'<rect x="{_LABEL}" y="{y}" {size} fill="{colours[bar.title]}"/>',
                f'<path d="{range_of}" stroke="#212529"/>',
                f'<text x="{_LABEL + high + 6:.1f}" y="{y + _BAR - 3}">{text}</text>',
            ]
            y += _BAR
        y += _GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LABEL + _WIDTH + 170} {y}"'
        ' font-family="sans-serif" font-size="11">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>\n"])
