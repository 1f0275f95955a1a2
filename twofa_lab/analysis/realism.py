"""Realism: a world's marginals beside those published of a real service, a distance for each.

The published figures are of one service (`twofa_lab.catalog.published`); a world of another
service should differ from it, and the report shows where. All rows inside the window count, attacks
too, sign-ups not: a real log cannot leave attacks out.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.analysis.marginals import MINUTES, Counts, counts_of_shard, distinct, total_counts
from twofa_lab.catalog.published import RBA, PublishedTraffic
from twofa_lab.errors import InputError
from twofa_lab.sheet import Sheet, number, percent
from twofa_lab.tables import Array
from twofa_lab.traffic.scenario import Activity
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.world import World

if TYPE_CHECKING:
    import pandas as pd

    from twofa_lab.analysis.picture import Figure

__all__ = ["Item", "Marginal", "Realism", "realism"]

TOTAL_VARIATION = "total variation"
LOG_RATIO = "mean |log ratio|"
LARGEST_GAP = "largest gap"
_MOST_LOGINS = 1000  # of an account in the published shape: one in 3e8 has more


@dataclass(frozen=True)
class Item:
    """One figure of a marginal; `published` is None where no source gives it."""

    label: str
    generated: float
    published: float | None


@dataclass(frozen=True)
class Marginal:
    """Figures that belong together and how far they lie from the published ones.

    `measure` of the `distance` (0: the same; None: nothing was published): the total variation
    between two distributions, from 0 to 1; the mean absolute natural logarithm of generated over
    published, for scales; or the largest gap between two curves relative to their peaks.
    """

    name: str
    items: tuple[Item, ...]
    distance: float | None
    measure: str
    is_share: bool
    note: str = ""


@dataclass(frozen=True, repr=False)
class Realism:
    """Generated marginals beside published ones; renders itself, plots itself.

    `logins[k]` and `published_logins[k]`: share of accounts with k logins in `days`; `local` and
    `utc`: logins by minute of the account's own day and of the UTC day.
    """

    world: str
    users: int
    rows: int
    days: int
    published: PublishedTraffic
    marginals: tuple[Marginal, ...]
    logins: Array
    published_logins: Array
    local: Array
    utc: Array

    def __getitem__(self, name: str) -> Marginal:
        for marginal in self.marginals:
            if marginal.name == name:
                return marginal
        raise InputError(f"no marginal {name!r}: {', '.join(m.name for m in self.marginals)}")

    @property
    def note(self) -> str:
        """What a reader must know about the comparison."""
        span = f"Published: {self.published.source}, {self.published.days} days."
        if self.days < self.published.days:
            span += (
                f" This world counts {self.days} days: logins per user are compared with the "
                f"published shape (log-normal through its quantiles) thinned to {self.days} days, "
                "accounts without a login left out."
            )
        return " ".join([span, *(f"{m.name}: {m.note}." for m in self.marginals if m.note)])

    def table(self) -> Sheet:
        """Every figure, generated and published, and each marginal's distance."""
        rows = []
        for marginal in self.marginals:
            text = percent if marginal.is_share else number
            digits = 1 if marginal.is_share else 2
            for index, item in enumerate(marginal.items):
                none = "no published figure"
                gap = "n/a" if marginal.distance is None else number(marginal.distance, 3)
                rows.append(
                    (
                        marginal.name if index == 0 else "",
                        item.label,
                        text(item.generated, digits),
                        none if item.published is None else text(item.published, digits),
                        gap if index == 0 else "",
                        marginal.measure if index == 0 else "",
                    )
                )
        title = f"Realism of {self.world}: {self.rows:,} rows, {self.users:,} accounts"
        columns = ("marginal", "figure", "generated", "published", "distance", "measure")
        return Sheet(title, columns, tuple(rows), self.note)

    def plot(self) -> Figure:
        """The marginals as six panels, generated against published."""
        from twofa_lab.analysis.realism_figure import plot_realism

        return plot_realism(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; figures nobody published are None."""
        return {
            "world": self.world,
            "users": self.users,
            "rows": self.rows,
            "days": self.days,
            "published": self.published.source,
            "marginals": [
                {
                    "name": m.name,
                    "distance": m.distance,
                    "measure": m.measure,
                    "figures": {
                        i.label: {"generated": i.generated, "published": i.published}
                        for i in m.items
                    },
                    "note": m.note,
                }
                for m in self.marginals
            ],
        }

    def to_pandas(self) -> pd.DataFrame:
        """One row a figure, as numbers; NaN where nothing was published."""
        import pandas as pd

        rows = [
            (m.name, i.label, i.generated, i.published, m.distance, m.measure)
            for m in self.marginals
            for i in m.items
        ]
        columns = ["marginal", "figure", "generated", "published", "distance", "measure"]
        types = dict.fromkeys(("generated", "published", "distance"), "float64")
        return pd.DataFrame(rows, columns=columns).astype(types).set_index(["marginal", "figure"])

    def to_markdown(self) -> str:
        """The table as Markdown."""
        return self.table().to_markdown()

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table().to_html()


def realism(
    world: World,
    *,
    published: PublishedTraffic = RBA,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Realism:
    """Set a world's marginals beside published ones.

    Reads shards one at a time a worker, so memory stays bounded. Logins per user count at most
    the first `published.days` days; a shorter world is compared with the published shape thinned
    to its length.

    >>> import twofa_lab as lab
    >>> report = lab.realism(lab.simulate("us-consumer", users=300, days=14, seed=1))
    >>> report["round-trip time missing"].distance < 0.05
    True
    """
    tasks = [
        (counts_of_shard, (world.source, index, world.facts, published.days))
        for index in range(len(world.source))
    ]
    counts = total_counts(run_shards(tasks, "measuring realism", executor, workers, progress))
    if not counts.rows:
        raise InputError("the world holds no logins inside its window")
    days = min(world.facts.days, published.days)
    shape = published_shape(published, days / published.days)
    words = world.facts.vocabularies
    return Realism(
        world=world.facts.name,
        users=world.facts.users,
        rows=counts.rows,
        days=days,
        published=published,
        marginals=(
            *_activity(counts, published, shape, days == published.days),
            _share("success", counts.ok / counts.rows, published.success),
            _classes("device types", words["device_type"], counts.devices, published.device_types),
            _classes("countries", words["country"], counts.countries, published.countries),
            _daily("daily shape, home clock", counts.local, published, _LOCAL_NOTE),
            _daily("daily shape, UTC", counts.utc, published),
            _share("attack addresses", counts.listed / counts.rows, published.attack_ip),
            _share("round-trip time missing", counts.no_rtt / counts.rows, published.rtt_missing),
            _addresses(counts, published),
            _share("new device", _ratio(*counts.new_device), None, _NEW_NOTE),
            _share("new country", _ratio(*counts.new_country), None),
        ),
        logins=_normalised(counts.logins),
        published_logins=shape,
        local=counts.local,
        utc=counts.utc,
    )


_LOCAL_NOTE = (
    "the data set has one clock and does not say whose; that its midnight keeps only a fifth of "
    "the peak, with 42 % of the rows in Norway and 28 % in the US, fits everybody's own clock "
    "better than one clock for all, so this comparison is the one to calibrate by"
)
_NEW_NOTE = (
    "share of completed legitimate logins after an account's first that come from a device (or "
    "country) it had not completed one from"
)


def published_shape(published: PublishedTraffic, part: float) -> Array:
    """Share of accounts with k = 0, 1, 2, ... logins in a `part` of the published span.

    The log-normal of `Activity` through the published quantiles; each login falls into the part by
    chance alone; accounts without one are left out (share 0).

    >>> whole, quarter = published_shape(RBA, 1.0), published_shape(RBA, 0.25)
    >>> whole[1].item().__round__(2), quarter[1].item().__round__(2)
    (0.4, 0.6)
    """
    from scipy.stats import binom, norm

    q = published.logins_per_user
    activity = Activity(median=q[0.5], p90=q[0.9], p99=q[0.99])
    k = np.arange(_MOST_LOGINS + 1)
    below = norm.cdf(np.log((k + 0.5) / activity.median) / activity.sigma)
    below[0], below[-1] = 0.0, 1.0
    whole = np.diff(below, prepend=0.0)
    kept = whole if part >= 1.0 else binom.pmf(k[:, None], k[None, :], part) @ whole
    kept[0] = 0.0
    return _normalised(kept)


def _normalised(values: Array) -> Array:
    total = values.sum()
    shares: Array = values / total if total else values.astype(np.float64)
    return shares


def _quantile(shares: Array, q: float) -> float:
    """The smallest k that at least the share `q` does not exceed."""
    return float(np.searchsorted(np.cumsum(shares), q - 1e-12))


def _activity(
    counts: Counts, published: PublishedTraffic, shape: Array, whole: bool
) -> tuple[Marginal, Marginal]:
    found = _normalised(counts.logins)
    known = {q: n if whole else _quantile(shape, q) for q, n in published.logins_per_user.items()}
    items = tuple(
        Item("median" if q == 0.5 else f"p{q * 100:.0f}", _quantile(found, q), float(n))
        for q, n in known.items()
    )
    one = published.one_login if whole else float(shape[1])
    many = published.ten_or_more if whole else float(shape[10:].sum())
    groups = (
        Item("one login", float(found[1]), one),
        Item("two to nine logins", float(found[2:10].sum()), 1.0 - one - many),
        Item("ten or more logins", float(found[10:].sum()), many),
    )
    return (
        Marginal("logins per user", items, log_ratio(items), LOG_RATIO, is_share=False),
        Marginal("accounts by logins", groups, variation(groups), TOTAL_VARIATION, is_share=True),
    )


def variation(items: tuple[Item, ...]) -> float:
    """Total variation: half the summed differences of two distributions' shares.

    >>> variation((Item("a", 0.5, 0.7), Item("b", 0.5, 0.3))).__round__(2)
    0.2
    """
    return 0.5 * sum(abs(i.generated - (i.published or 0.0)) for i in items)


def log_ratio(items: tuple[Item, ...]) -> float:
    """Mean absolute logarithm of generated over published; both must be above zero.

    >>> round(log_ratio((Item("median", 4.0, 2.0),)), 3)
    0.693
    """
    ratios = [i.generated / i.published for i in items if i.published]
    return float(np.mean(np.abs(np.log(np.maximum(ratios, 1e-12)))))


def _share(name: str, found: float, known: float | None, note: str = "") -> Marginal:
    item = (Item("share", found, known),)
    gap = None if known is None else abs(found - known)
    measure = TOTAL_VARIATION if known is not None else ""
    return Marginal(name, item, gap, measure, is_share=True, note=note)


def _classes(name: str, words: tuple[str, ...], counts: Array, known: dict[str, float]) -> Marginal:
    """A distribution over words; words without a published share are one class, "other"."""
    shares = dict(zip(("", *words), _normalised(counts).tolist(), strict=True))
    shares["unknown"] = shares.get("unknown", 0.0) + shares.pop("")
    items = [Item(word, shares.get(word, 0.0), share) for word, share in known.items()]
    rest = sum(share for word, share in shares.items() if word not in known)
    left = max(1.0 - sum(known.values()), 0.0)
    if rest > 0.0 or left > 0.005:  # published shares are rounded to a thousandth
        items.append(Item("other", rest, left))
    found = tuple(items)
    lacking = [i for i in found if i.published and not i.generated]
    floor = sum(i.published or 0.0 for i in lacking)
    names = ", ".join(i.label for i in lacking)
    note = f"{floor:.3f} of the distance at least is that there is no {names} here" if names else ""
    return Marginal(name, found, variation(found), TOTAL_VARIATION, is_share=True, note=note)


def hourly(minutes: Array) -> Array:
    """Mean logins a minute in the hour around every minute of the day, relative to the peak."""
    around = np.convolve(np.concatenate([minutes[-30:], minutes, minutes[:29]]), np.ones(60))
    rate: Array = around[59 : 59 + MINUTES] / 60.0
    return rate / rate.max()


def _daily(name: str, minutes: Array, published: PublishedTraffic, note: str = "") -> Marginal:
    rate = hourly(minutes)
    peak = max(published.per_minute.values())
    items = tuple(
        Item(f"{hour:02d}:00 of the peak", float(rate[hour % 24 * 60]), value / peak)
        for hour, value in published.per_minute.items()
    )
    gap = max(abs(i.generated - (i.published or 0.0)) for i in items)
    return Marginal(name, items, gap, LARGEST_GAP, is_share=True, note=note)


def _addresses(counts: Counts, published: PublishedTraffic) -> Marginal:
    seen = int(counts.logins.sum())
    found = distinct(counts.ips) / max(seen, 1)
    item = (Item("all, over accounts seen", found, published.ips_per_user),)
    note = "grows with the length of a world; accounts here hardly share an address"
    return Marginal("distinct addresses", item, log_ratio(item), LOG_RATIO, False, note)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
