"""Where detection comes from: each thing that sets attackers apart, taken away in turn.

To *take away* a feature is to give every attacker's row what the account's owner last showed (their
device, place, network, ...), and to replay: the loop is closed, so what an attacker leaves behind
changes too. Features stand in for each other; so each is also *left alone*, with all others gone.
With all of them gone an attacker is the owner's twin, and what is still challenged is what the
policy asks of owners too: above all on accounts seldom used, whose devices it no longer knows.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.analysis.estimates import Estimate, PolicyResult
from twofa_lab.analysis.thresholds_sweep import sweep
from twofa_lab.analysis.totals import SUMS
from twofa_lab.errors import InputError
from twofa_lab.risk.policy import Policy
from twofa_lab.sheet import Sheet, interval, number, percent
from twofa_lab.tables import LOGINS, Array
from twofa_lab.traffic.world import Shard, ShardSource, World, WorldFacts

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure

__all__ = ["FEATURES", "Detection", "Without", "detection", "disguised"]

FEATURES: dict[str, tuple[str, ...]] = {
    "device": ("device_id",),
    "place": ("country", "region", "city"),
    "hour": ("time", "utc_offset_min"),
    "failed passwords": ("password_ok",),
    "network": ("asn",),
    "browser": ("user_agent", "browser", "os", "device_type"),
    "round-trip time": ("rtt_ms",),
    "address": ("ip", "ip_listed"),
}
"""What sets an attacker apart, and the columns of the logins table that show it."""

_SALT = 20_260_105  # of the bootstrap weights: that of a comparison
_MS_PER_MIN, _DAY_MIN = 60_000, 1_440
_TAKEOVERS, _ATTACKS = SUMS.index("takeovers"), SUMS.index("attacks")


@dataclass(frozen=True)
class Without:
    """What the policy does to attackers who hold the password, a feature gone or left alone.

    `challenged`: share of their logins that are challenged; `stopped`: share not completed. `lost`:
    by how much `stopped` falls where the feature is gone (None for the first and last row, where
    none and all are); paired. `challenged_alone`, `stopped_alone`: where only it is left.
    """

    feature: str
    challenged: float
    stopped: Estimate
    lost: Estimate | None
    challenged_alone: float | None
    stopped_alone: Estimate | None


@dataclass(frozen=True, repr=False)
class Detection:
    """Where a policy's detection comes from; renders itself."""

    rows: tuple[Without, ...]
    policy: Policy
    facts: WorldFacts
    attacks: int

    @property
    def note(self) -> str:
        """How the figures came about."""
        f = self.facts
        return (
            f"Policy {self.policy.name}, closed loop on {f.name}, {f.users:,} accounts, "
            f"{f.days} days: {number(self.attacks)} attacker logins with the right password. Gone: "
            "every attacker's row shows what the account's owner last showed. Intervals: 95 %, "
            "bootstrap over accounts."
        )

    def table(self) -> Sheet:
        """One row a feature, that whose loss costs most first."""
        rows = []
        for r in self.rows:
            lost, alone = r.lost, r.stopped_alone
            rows.append((
                r.feature, percent(r.challenged, 1), percent(r.stopped.value, 1),
                "" if lost is None else percent(lost.value, 1),
                "" if lost is None else interval(percent(lost.low, 1), percent(lost.high, 1)),
                "" if r.challenged_alone is None else percent(r.challenged_alone, 1),
                "" if alone is None else percent(alone.value, 1),
            ))  # fmt: skip
        columns = (
            "gone", "challenged", "stopped", "detection lost", "95 % interval",
            "challenged, it alone left", "stopped, it alone left",
        )  # fmt: skip
        return Sheet("Where detection comes from", columns, tuple(rows), self.note)

    def sentence(self) -> str:
        """The finding in one sentence."""
        first, last = self.rows[0], self.rows[-1]
        most = self.rows[1]
        return (
            f"Attackers are stopped in {percent(first.stopped.value, 0)} of their logins; "
            f"most is lost with their {most.feature} ({percent(most.stopped.value, 0)} without), "
            f"and {percent(last.stopped.value, 0)} are still stopped where nothing sets them apart."
        )

    def plot(self) -> Figure:
        """Stopped without each feature, and with it alone."""
        from twofa_lab.analysis.interval_figure import Series, interval_figure

        nothing = Estimate(np.nan, np.nan, np.nan)
        return interval_figure(
            "Where detection comes from",
            [r.feature for r in self.rows],
            [
                Series("the feature gone", [r.stopped for r in self.rows]),
                Series("it alone left", [r.stopped_alone or nothing for r in self.rows]),
            ],
            "attacker logins with the right password that were stopped (%)",
            f"{self.policy.name} on {self.facts.name}, {self.facts.users:,} accounts",
            line=self.rows[0].stopped.value,
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "policy": self.policy.name,
            "attacks": self.attacks,
            "stopped": {r.feature: r.stopped.value for r in self.rows},
            "stopped_alone": {
                r.feature: r.stopped_alone.value for r in self.rows if r.stopped_alone
            },
        }

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


def detection(
    world: World,
    policy: Policy | None = None,
    *,
    replicates: int = 200,
    workers: int | None = None,
    progress: bool | None = None,
) -> Detection:
    """Take each of `FEATURES` away from attackers in turn, under a policy (default: risk-based).

    >>> import twofa_lab as lab
    >>> found = detection(lab.simulate("us-consumer", users=2_000, days=60, seed=1), replicates=8)
    >>> len(found.rows) == len(FEATURES) + 2
    True
    """
    ran = policy or Policy.risk_based()

    def play(gone: Iterable[str]) -> PolicyResult:
        changed = disguised(world, gone)
        return sweep(
            changed, [ran], None, 0.0, replicates, _SALT, workers=workers, progress=progress
        ).results[0]

    whole = play(())
    if not whole.attacks:
        raise InputError("no attacker holds a right password in this world: take more users")
    found = []
    for feature in FEATURES:
        without, alone = play([feature]), play(name for name in FEATURES if name != feature)
        fall = _replicates(whole) - _replicates(without)
        lost = Estimate.of(_stopped(whole).value - _stopped(without).value, fall)
        gone, left = _stopped(without), _stopped(alone)
        found.append(Without(feature, _challenged(without), gone, lost, _challenged(alone), left))
    found.sort(key=lambda row: -row.lost.value if row.lost else 0.0)
    nothing = play(FEATURES)
    ends = (
        Without(name, _challenged(result), _stopped(result), None, None, None)
        for name, result in (("nothing", whole), ("everything", nothing))
    )
    first, last = ends
    return Detection((first, *found, last), ran, world.facts, whole.attacks)


def disguised(world: World, gone: Iterable[str]) -> World:
    """The world whose attackers show what the owners of the accounts last showed in these features.

    An hour is shown by the account's clock, which alone is turned; wrong passwords are left out. An
    account whose owner never logs in keeps its attackers as they are.
    """
    names = tuple(gone)
    for name in names:
        if name not in FEATURES:
            raise InputError(f"no feature {name!r}: use {', '.join(FEATURES)}")
    return replace(world, source=_Disguised(world.source, names)) if names else world


@dataclass(frozen=True)
class _Disguised:
    """Shards of a source with attackers' features replaced by the owners'."""

    source: ShardSource
    gone: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.source)

    def load(self, index: int, columns: Iterable[str] | None) -> Shard:
        touched = {name for feature in self.gone for name in FEATURES[feature]}
        if columns is not None:
            columns = {*columns, *touched, "attack", "password_ok", "signup"}
        shard = self.source.load(index, columns)
        logins, owner = dict(shard.logins), _owners_row(shard)
        rows = np.flatnonzero((logins["attack"] > 0) & (owner >= 0))
        for name in touched - {"time", "utc_offset_min", "password_ok"}:
            logins[name] = logins[name].copy()
            logins[name][rows] = logins[name][owner[rows]]
        if "hour" in self.gone:
            logins["utc_offset_min"] = _turned(logins, rows, owner[rows])
        changed = replace(shard, logins=logins)
        return _without_wrong(changed) if "failed passwords" in self.gone else changed


def _owners_row(shard: Shard) -> Array:
    """For every row, the owner's last one with the right password before it, else the next one of
    the account; -1 where there is none.
    """
    logins, at = shard.logins, np.arange(shard.rows)
    own = (logins["attack"] == 0) & (logins["password_ok"] | logins["signup"])
    account = np.repeat(np.arange(len(shard.starts) - 1), np.diff(shard.starts))
    before = np.maximum.accumulate(np.where(own, at, -1))
    after = np.minimum.accumulate(np.where(own, at, shard.rows)[::-1])[::-1]
    first, end = shard.starts[account], shard.starts[account + 1]
    return np.where(before >= first, before, np.where(after < end, after, -1))


def _turned(logins: dict[str, Array], rows: Array, owner: Array) -> Array:
    """The account's clock at these rows, turned so that it shows the owner's time of day."""
    offset = logins["utc_offset_min"].copy()
    minute = logins["time"] // _MS_PER_MIN
    wanted = minute[owner] + offset[owner]
    turn = (wanted - minute[rows] + _DAY_MIN // 2) % _DAY_MIN - _DAY_MIN // 2
    offset[rows] = turn.astype(offset.dtype)
    return offset


def _without_wrong(shard: Shard) -> Shard:
    """The shard without attackers' rows with a wrong password."""
    kept = (shard.logins["attack"] == 0) | shard.logins["password_ok"]
    starts = np.append(0, np.cumsum(kept))[shard.starts]
    logins = {name: values[kept] for name, values in shard.logins.items()}
    return replace(shard, logins=logins, starts=starts)


def _challenged(result: PolicyResult) -> float:
    counts = np.array([*result.by_kind.values()]).reshape(-1, 4).sum(axis=0)
    return float(counts[2] / counts[1])


def _stopped(result: PolicyResult) -> Estimate:
    rate = result.takeover_rate
    return Estimate(1.0 - rate.value, 1.0 - rate.high, 1.0 - rate.low)


def _replicates(result: PolicyResult) -> Array:
    many = result.totals.replicates
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1.0 - many[_TAKEOVERS] / many[_ATTACKS]


if unknown := {n for names in FEATURES.values() for n in names} - set(LOGINS.names):
    raise AssertionError(f"features name columns that there are not: {unknown}")
