"""How an explanation reads: a line, and its reasons below; as text and as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence

__all__ = ["as_html", "as_text"]


def as_text(summary: str, reasons: Sequence[str]) -> str:
    """For a terminal.

    >>> print(as_text("asked", ["a new device"]))
    asked
      - a new device
    """
    return "\n".join([summary, *(f"  - {reason}" for reason in reasons)])


def as_html(summary: str, reasons: Sequence[str]) -> str:
    """For a notebook.

    >>> as_html("a < b", ["a new device"])
    '<p><b>a &lt; b</b></p><ul><li>a new device</li></ul>'
    """
    items = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    return f"<p><b>{html.escape(summary)}</b></p><ul>{items}</ul>"
