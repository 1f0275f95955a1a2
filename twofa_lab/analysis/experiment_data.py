"""What an experiment measures: named metrics, and the two arms' rows they are computed from.

Everywhere arm a is the treatment and arm b the control, and an effect is a less b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.sheet import money, number, percent
from twofa_lab.tables import Array

__all__ = ["Columns", "Metric", "Sample", "pvalue_text"]


class Columns(Protocol):
    """A table: gives a column by its name, such as a `SignupTable`, a dict or a frame."""

    def __getitem__(self, name: Any, /) -> Any: ...


Role = Literal["goal", "guardrail", "other"]


@dataclass(frozen=True)
class Metric:
    """A named figure of an arm; make one with `binary`, `mean` or `ratio`.

    `column` is summed over the arm's visitors and divided by their number or, for a ratio, by the
    sum of `per`. `covariate` is a column from before the experiment, for CUPED. `role`: the `goal`
    must get better, a `guardrail` must not get worse by `margin` or more; `better` says which way
    that is.
    """

    name: str
    kind: Literal["binary", "mean", "ratio"]
    column: str
    per: str = ""
    covariate: str = ""
    role: Role = "other"
    better: Literal["higher", "lower"] = "higher"
    margin: float = 0.0
    unit: Literal["share", "usd", "number"] = "share"

    def __post_init__(self) -> None:
        if self.role == "guardrail" and not self.margin > 0:
            raise InputError(f"guardrail {self.name!r} needs a margin above 0: what may be lost")
        if self.margin < 0 or not np.isfinite(self.margin):
            raise InputError(f"metric {self.name!r}: a margin is 0 or more, not {self.margin}")
        if self.kind == "binary" and self.margin >= 1:
            raise InputError(f"metric {self.name!r}: the margin of a share is below 1")

    @classmethod
    def binary(
        cls,
        column: str,
        *,
        name: str = "",
        role: Role = "other",
        better: Literal["higher", "lower"] = "higher",
        margin: float = 0.0,
        covariate: str = "",
    ) -> Metric:
        """The share of visitors for whom a true-or-false column holds."""
        return cls(name or column, "binary", column, "", covariate, role, better, margin, "share")

    @classmethod
    def mean(
        cls,
        column: str,
        *,
        name: str = "",
        role: Role = "other",
        better: Literal["higher", "lower"] = "higher",
        margin: float = 0.0,
        covariate: str = "",
    ) -> Metric:
        """The mean of a column over visitors; one that ends in `_usd` is money."""
        unit: Literal["usd", "number"] = "usd" if column.endswith("_usd") else "number"
        return cls(name or column, "mean", column, "", covariate, role, better, margin, unit)

    @classmethod
    def ratio(
        cls,
        name: str,
        column: str,
        per: str,
        *,
        role: Role = "other",
        better: Literal["higher", "lower"] = "higher",
        margin: float = 0.0,
    ) -> Metric:
        """The sum of one column over the sum of another, such as completed logins over logins."""
        return cls(name, "ratio", column, per, "", role, better, margin, "share")

    @property
    def sign(self) -> float:
        """1 where more is better, -1 where less is."""
        return 1.0 if self.better == "higher" else -1.0

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    def text(self, value: float) -> str:
        """A value of this metric."""
        if self.unit == "share":
            return percent(value)
        return money(value, 4) if self.unit == "usd" else number(value, 4)

    def change(self, value: float) -> str:
        """A difference of two values of it, with its sign; points stand for per cent.

        >>> Metric.binary("signed_up").change(-0.0123)
        '-1.23 points'
        """
        if np.isnan(value):
            return "n/a"
        plus = "+" if value > 0 else ""
        return plus + (f"{100 * value:.2f} points" if self.unit == "share" else self.text(value))

    def span(self, low: float, high: float) -> str:
        """An interval of such differences.

        >>> Metric.binary("signed_up").span(-0.02, -0.01)
        '-2.00 to -1.00 points'
        """
        ends = [self.change(low), self.change(high)]
        return "n/a" if "n/a" in ends else f"{ends[0].removesuffix(' points')} to {ends[1]}"


@dataclass(frozen=True)
class Sample:
    """The rows of two arms, ready to be read column by column.

    `rows_a` and `rows_b` are positions in the table. `cluster` names the column of what was
    assigned, where that was not the single visitor.
    """

    table: Columns
    rows_a: Array
    rows_b: Array
    cluster: str = ""

    @classmethod
    def of(
        cls,
        table: Columns,
        arm: str,
        treatment: str,
        control: str,
        cluster: str = "",
    ) -> Sample:
        """The visitors of a table whose column `arm` names one of the two arms."""
        labels = _column(table, arm)
        rows_a, rows_b = (np.flatnonzero(labels == name) for name in (treatment, control))
        for name, rows in ((treatment, rows_a), (control, rows_b)):
            if len(rows) < 2:
                found = ", ".join(sorted({str(label) for label in np.unique(labels)}))
                raise InputError(f"arm {name!r} has fewer than two visitors; the arms are: {found}")
        return cls(table, rows_a, rows_b, cluster)

    @property
    def n_a(self) -> int:
        return len(self.rows_a)

    @property
    def n_b(self) -> int:
        return len(self.rows_b)

    def column(self, name: str) -> tuple[Array, Array]:
        """A column's values in both arms, as they are."""
        values = _column(self.table, name)
        return values[self.rows_a], values[self.rows_b]

    def numbers(self, name: str) -> tuple[Array, Array]:
        """A column's values in both arms as floats; refuses what is unknown."""
        try:
            a, b = (part.astype(np.float64) for part in self.column(name))
        except (TypeError, ValueError):
            raise InputError(f"column {name!r} must hold numbers") from None
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise InputError(f"column {name!r} holds NaN or infinity: say what they stand for")
        return a, b

    def values(self, metric: Metric) -> tuple[Array, Array]:
        """What a metric sums, in both arms."""
        a, b = self.numbers(metric.column)
        if metric.kind == "binary" and not all(np.isin(part, (0.0, 1.0)).all() for part in (a, b)):
            raise InputError(f"column {metric.column!r} of a binary metric must be true or false")
        return a, b

    def beside(self, metric: Metric) -> tuple[Array, Array] | None:
        """The denominators of a ratio, else the covariate, else nothing."""
        name = metric.per or metric.covariate
        return self.numbers(name) if name else None

    def clusters(self) -> tuple[Array, Array]:
        """The cluster of each visitor in both arms, numbered from 0 within the arm."""
        a, b = self.column(self.cluster)
        return np.unique(a, return_inverse=True)[1], np.unique(b, return_inverse=True)[1]

    def part(self, keep_a: Array, keep_b: Array) -> Sample:
        """The visitors of each arm for whom the masks hold."""
        return Sample(self.table, self.rows_a[keep_a], self.rows_b[keep_b], self.cluster)


def pvalue_text(pvalue: float) -> str:
    """A p-value.

    >>> pvalue_text(0.0312), pvalue_text(1e-9)
    ('0.0312', '<0.0001')
    """
    if np.isnan(pvalue):
        return "n/a"
    return "<0.0001" if pvalue < 1e-4 else f"{pvalue:.4f}"


def _column(table: Columns, name: str) -> Array:
    try:
        return np.asarray(table[name])
    except KeyError:
        raise InputError(f"the experiment's table has no column {name!r}") from None
