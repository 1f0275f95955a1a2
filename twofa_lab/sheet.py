"""A small table that renders itself, and the one place where numbers become text."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Sheet", "interval", "markdown_text", "money", "number", "percent"]


def percent(share: float, digits: int = 2) -> str:
    """A share of one as per cent.

    >>> percent(0.0512), percent(float("nan"))
    ('5.12 %', 'n/a')
    """
    return "n/a" if math.isnan(share) else f"{100.0 * share:.{digits}f} %"


def money(usd: float, digits: int = 2) -> str:
    """US dollars.

    >>> money(1234.5), money(-2.0)
    ('$1,234.50', '-$2.00')
    """
    if math.isnan(usd):
        return "n/a"
    return f"{'-' if usd < 0 else ''}${abs(usd):,.{digits}f}"


def number(value: float, digits: int = 0) -> str:
    """A number with thousands separated.

    >>> number(1234567), number(12.84, 1)
    ('1,234,567', '12.8')
    """
    return "n/a" if math.isnan(value) else f"{value:,.{digits}f}"


def interval(low: str, high: str) -> str:
    """An interval of two formatted ends.

    >>> interval(percent(0.01), percent(0.02))
    '1.00 to 2.00 %'
    """
    if low == "n/a" or high == "n/a":
        return "n/a"
    if low.endswith(" %") and high.endswith(" %"):
        return f"{low[:-2]} to {high}"
    return f"{low} to {high}"


def markdown_text(text: str) -> str:
    """Text that Markdown shows in one line and does not take for a tag.

    >>> markdown_text("a <b>")
    'a &lt;b>'
    """
    return " ".join(text.splitlines()).replace("<", "&lt;")


@dataclass(frozen=True)
class Sheet:
    """A titled table of text cells; the first column is left-aligned, the others right.

    In a sheet of `prose` every column is left-aligned.

    >>> print(Sheet("Prices", ("channel", "US$"), (("sms", "0.01"),)).to_markdown())
    **Prices**
    <BLANKLINE>
    | channel | US$ |
    |:---|---:|
    | sms | 0.01 |
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    prose: bool = False

    def to_markdown(self) -> str:
        """GitHub-flavoured Markdown."""
        rule = "|:---|" + (":---|" if self.prose else "---:|") * (len(self.columns) - 1)
        title = f"**{markdown_text(self.title)}**"
        lines = [title, "", _bar(self.columns), rule, *map(_bar, self.rows)]
        return "\n".join(lines + (["", markdown_text(self.note)] if self.note else []))

    def to_html(self) -> str:
        """An HTML fragment."""
        head = self._cells("th", self.columns)
        body = "".join(f"<tr>{self._cells('td', row)}</tr>" for row in self.rows)
        note = f"<p><small>{html.escape(self.note)}</small></p>" if self.note else ""
        style = ' class="prose"' if self.prose else ""
        return (
            f"<table{style}><caption>{html.escape(self.title)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"
        )

    def to_text(self) -> str:
        """Aligned plain text, for a terminal."""
        table = [self.columns, *self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if self._is_left(i) else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join(
            [self.title, rule, lines[0], rule, *lines[1:], *([self.note] if self.note else [])]
        )

    def to_pandas(self) -> pd.DataFrame:
        """The text cells as a frame, indexed by the first column."""
        import pandas as pd

        return pd.DataFrame(list(self.rows), columns=list(self.columns)).set_index(self.columns[0])

    def _is_left(self, column: int) -> bool:
        return self.prose or column == 0

    def _cells(self, tag: str, cells: tuple[str, ...]) -> str:
        sides = ["left" if self._is_left(i) else "right" for i in range(len(cells))]
        return "".join(
            f'<{tag} style="text-align:{side}">{html.escape(text)}</{tag}>'
            for side, text in zip(sides, cells, strict=True)
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        return self.to_text()


def _bar(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(markdown_text(cell).replace("|", "\\|") for cell in cells) + " |"
