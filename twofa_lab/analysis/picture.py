"""Figures that show themselves in a notebook, without a plotting backend or a global state."""

from __future__ import annotations

import io

from matplotlib import figure

__all__ = ["Figure"]


class Figure(figure.Figure):
    """A matplotlib figure that renders itself as a picture.

    >>> Figure()._repr_png_()[1:4]
    b'PNG'
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
