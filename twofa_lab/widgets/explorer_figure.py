"""The explorer's picture: drawn once, then only what moves is drawn over a kept background.

Drawing all of a figure takes several times as long as playing 200,000 logins again, most of it for
letters that stay the same; so that happens only where an axis has to grow.
"""

from __future__ import annotations

import io
import math
from typing import Any

from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg

from twofa_lab.analysis.estimates import PolicyResult
from twofa_lab.analysis.picture import Figure

__all__ = ["Picture"]

_GREY, _BLUE = "#7F7F7F", "#0072B2"
_PARTS = {
    "messages": "#56B4E9", "support": "#E69F00", "lost_logins": "#CC79A7", "takeovers": "#D55E00",
}  # fmt: skip
_TRAIL = 12  # earlier positions that are still drawn
_ROOM = 1.15  # by how much an axis grows beyond what made it grow


class Picture:
    """Left: logins lost against takeovers, with the way that was gone. Right: cost in its parts.

    `start` is drawn for comparison; `widest` are results that the axes shall have room for.
    """

    def __init__(self, start: PolicyResult, *widest: PolicyResult):
        self.figure = Figure(figsize=(9.4, 3.9), dpi=100, layout="constrained")
        self._canvas: Any = FigureCanvasAgg(self.figure)  # untyped in the library
        self._start, self._way = start, [_place(start)]
        self._background: Any = None
        self._left, self._right = self.figure.subplots(1, 2, width_ratios=(1.25, 1))
        self._moving = self._place_axes() + self._cost_axes()
        self._left.set_xlim(-0.02, 0.5)
        self._right.set_xlim(0, 1)
        for result in (*widest, start):
            self.show(result)
        self._way = [_place(start)]
        self._draw()  # lays the axes out, once
        self.figure.set_layout_engine("none")

    def _place_axes(self) -> list[Any]:
        axes = self._left
        axes.plot(*_place(self._start), "o", color=_GREY, markersize=9, label="start")
        (self._line,) = axes.plot([], [], color=_BLUE, alpha=0.4, linewidth=1)
        (self._here,) = axes.plot([], [], "o", color=_BLUE, markersize=11, label="here")
        axes.set_ylim(-3, 103)
        axes.set_xlabel("legitimate logins lost (%)")
        axes.set_ylabel("takeovers (% of attacker logins\nwith the right password)")
        axes.legend(loc="upper right", frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        self._title = axes.set_title(" ", loc="left", fontsize=11)
        return [self._line, self._here, self._title]

    def _cost_axes(self) -> list[Any]:
        axes = self._right
        self._bars, left = [], 0.0
        for name, colour in _PARTS.items():
            value = getattr(self._start.cost, name).value
            axes.barh(1, value, 0.6, left=left, color=colour, label=name.replace("_", " "))
            self._bars += axes.barh(0, 0, 0.6, color=colour)
            left += value
        axes.text(left, 1, rf" \${left:,.2f}", va="center")
        self._total = axes.text(0, 0, "", va="center")
        axes.set_yticks([1, 0], ["start", "here"])
        axes.set_ylim(-0.6, 2.2)
        axes.set_xlabel(r"US\$ per 1,000 legitimate logins")
        axes.legend(ncols=2, loc="upper left", frameon=False, fontsize=8.5)
        axes.set_title("Cost", loc="left", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
        return [*self._bars, self._total]

    def show(self, result: PolicyResult) -> Figure:
        """Move everything to a result; returns the figure."""
        place = _place(result)
        if place != self._way[-1]:
            self._way = [*self._way[-_TRAIL:], place]
        self._line.set_data(*zip(*self._way, strict=True))
        self._here.set_data(*([value] for value in place))
        self._title.set_text(
            f"asks {100 * result.challenge_rate.value:.2f} %, loses {place[0]:.2f} %, "
            f"lets {result.takeovers:,} of {result.attacks:,} through"
        )
        left = 0.0
        for name, bar in zip(_PARTS, self._bars, strict=True):
            bar.set_x(left)
            bar.set_width(getattr(result.cost, name).value)
            left += bar.get_width()
        self._total.set_text(rf" \${left:,.2f}")
        self._total.set_x(left)
        self._grow(self._left, place[0])
        self._grow(self._right, 1.1 * left)
        return self.figure

    def _grow(self, axes: Any, value: float) -> None:
        low, high = axes.get_xlim()
        if value > high:
            axes.set_xlim(low * value / high, _ROOM * value)
            self._background = None

    def _draw(self) -> None:
        self._canvas.draw()

    def png(self, result: PolicyResult) -> bytes:
        """The picture of a result, hardly compressed: it is for the screen beside it."""
        self.show(result)
        if self._background is None:
            for artist in self._moving:
                artist.set_animated(True)  # left out of the background
            self._draw()
            self._background = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._background)
        for artist in self._moving:
            self.figure.draw_artist(artist)
        buffer = io.BytesIO()
        pixels = self._canvas.buffer_rgba()
        image.imsave(buffer, pixels, format="png", pil_kwargs={"compress_level": 1})
        return buffer.getvalue()


def _place(result: PolicyResult) -> tuple[float, float]:
    rate = result.takeover_rate.value
    return 100.0 * (1.0 - result.conversion.value), 0.0 if math.isnan(rate) else 100.0 * rate
