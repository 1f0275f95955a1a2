"""Which assumption would change the choice of a threshold, and by how much it would have to be off.

Prices enter the cost linearly, so they are judged exactly from sums at hand. What people do at a
challenge is part of each login (its potential outcomes), so changed assumptions are replayed on the
very same logins: everything else stays equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from twofa_lab.analysis.estimates import cost_of
from twofa_lab.analysis.thresholds_sweep import budget_word, threshold_word
from twofa_lab.sheet import Sheet, money, number, percent
from twofa_lab.tables import NEVER, Array
from twofa_lab.traffic.world import Shard, ShardSource

if TYPE_CHECKING:
    from twofa_lab.analysis.thresholds import Tuning

__all__ = ["assumption_sheet", "price_sheet"]

_PRICES = {
    "messages": "price of messages",
    "support": "support (tickets times price)",
    "lost_logins": "loss of a lost login",
    "takeovers": "loss of a takeover",
}


def _range(parts: Array, others: Array, chosen: int) -> tuple[float, float]:
    """Between which factors of one price the chosen point stays the cheapest.

    `parts` is what the price makes of each point's cost and `others` the rest: the chosen stays so
    while others[c] + f parts[c] <= others[i] + f parts[i] for every i.
    """
    low, high = 0.0, math.inf
    slope, gap = parts[chosen] - parts, others - others[chosen]
    for rise, room in zip(slope.tolist(), gap.tolist(), strict=True):
        if rise > 1e-12:
            high = min(high, room / rise)
        elif rise < -1e-12:
            low = max(low, room / rise)
    return low, high


def price_sheet(tuning: Tuning) -> Sheet:
    """Each price at half and at one and a half, and the range in which the choice stays."""
    chosen = tuning.operating()["cost" if tuning.budget is None else "both"]
    indices = tuning.allowed()
    words = [threshold_word(tuning.points[i].threshold) for i in indices]
    title = "Which price would change the cheapest threshold" + (
        "" if tuning.budget is None else f" within {budget_word(tuning.budget)} challenges"
    )
    columns = (
        "price", "US$ per 1,000 now", "at half of it", "at one and a half",
        "same choice from a factor of", "to",
    )  # fmt: skip
    if chosen is None:
        return Sheet(title, columns, (), "No threshold satisfies the budget.")
    sums = np.array([tuning.points[i].result.totals.sums for i in indices]).T
    parts = cost_of(sums, tuning.costs)
    total, at = parts.pop("total"), indices.index(chosen)
    rows = []
    for name, part in parts.items():
        low, high = _range(part, total - part, at)
        best = [words[int(np.argmin(total + (f - 1.0) * part))] for f in (0.5, 1.5)]
        rows.append((
            _PRICES[name], money(float(part[at])), *best, number(low, 2),
            "any" if math.isinf(high) else number(high, 2),
        ))  # fmt: skip
    note = f"Now cheapest: {words[at]}. One price changes at a time; the logins stay the same."
    return Sheet(title, columns, tuple(rows), note)


def _scaled(*names: str, factor: float) -> Callable[[dict[str, Array]], None]:
    def change(logins: dict[str, Array]) -> None:
        for name in set(names) & set(logins):
            values = logins[name]
            moved = np.minimum(np.rint(values * factor), NEVER - 1)
            logins[name] = np.where(values == NEVER, values, moved).astype(values.dtype)

    return change


def _only(name: str, value: int, share: float) -> Callable[[dict[str, Array]], None]:
    """One value for so large a share of the rows, told by a mixed login number: no other draw."""

    def change(logins: dict[str, Array]) -> None:
        if name not in logins:
            return
        mixed = logins["login_id"].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        hit = mixed >> np.uint64(11) < np.uint64(int(share * 2**53))
        logins[name] = np.where(hit, value, logins[name]).astype(logins[name].dtype)

    return change


_DELAYS = ("po_whatsapp_ds", "po_sms_ds", "po_voice_ds", "po_resend_ds")
_CHANGES: dict[str, Callable[[dict[str, Array]], None]] = {
    "messages take half as long": _scaled(*_DELAYS, factor=0.5),
    "messages take one and a half times as long": _scaled(*_DELAYS, factor=1.5),
    "people wait half as long": _scaled("po_patience_ds", factor=0.5),
    "people wait one and a half times as long": _scaled("po_patience_ds", factor=1.5),
    "1 in 10 more has no phone at hand": _only("po_phone_at_hand", 0, 0.1),
    "1 in 10 more SMS never arrives": _only("po_sms_ds", NEVER, 0.1),
    "nobody trusts a device": _only("po_trusts_device", 0, 1.0),
    "attackers get past no factor": _only("po_defeats", 0, 1.0),
    "attackers get past every factor": _only("po_defeats", 255, 1.0),
}


@dataclass(frozen=True)
class _Changed:
    """Shards of a source with one assumption changed, as far as its columns are asked for."""

    source: ShardSource
    name: str

    def __len__(self) -> int:
        return len(self.source)

    def load(self, index: int, columns: Iterable[str] | None) -> Shard:
        shard = self.source.load(index, None if columns is None else [*columns, "login_id"])
        logins = dict(shard.logins)
        _CHANGES[self.name](logins)
        return replace(shard, logins=logins)


def assumption_sheet(
    tuning: Tuning, *, workers: int | None = None, progress: bool | None = None
) -> Sheet:
    """Tune again with each assumption changed, on the same logins and the same thresholds."""
    from twofa_lab.analysis.thresholds import tune

    thresholds = [p.threshold for p in tuning.points if p.threshold is not None]
    rows = [_row("as it is", tuning, tuning)]
    for name in _CHANGES:
        world = replace(tuning.world, source=_Changed(tuning.world.source, name))
        again = tune(
            world, tuning.policy, tuning.budget, {} if tuning.cheapest else None,
            thresholds=thresholds, confidence=tuning.confidence,
            logged_under=tuning.logged_under, replicates=8, workers=workers, progress=progress,
        )  # fmt: skip
        rows.append(_row(name, again, tuning))
    columns = (
        "assumption", "choice", "changes it", "challenged", "takeovers stopped", "logins lost",
        "US$ per 1,000",
    )  # fmt: skip
    note = "Each row replays the same logins with one assumption changed. " + tuning.note
    return Sheet("Which assumption would change the choice", columns, tuple(rows), note)


def _row(name: str, found: Tuning, before: Tuning) -> tuple[str, ...]:
    if found.chosen is None:
        return (name, "none satisfies", "yes" if before.chosen is not None else "no", *[""] * 4)
    p = found.point
    same = before.chosen is not None and p.threshold == before.point.threshold
    return (
        name,
        threshold_word(p.threshold),
        "no" if same else "yes",
        percent(p.result.challenge_rate.value),
        percent(p.stopped.value, 1),
        percent(1.0 - p.result.conversion.value),
        money(p.result.cost.total.value),
    )
