"""An explorer of the rule scorer: move a setting, and every login is played again at once.

The functional core is `Explorer.at`: settings in, figures out. Each call replays the sample from
its first login to its last (*closed loop*) and gives the figures that `compare` gives for that
policy. Shown in a notebook an explorer is a `Panel` of sliders over it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from twofa_lab.analysis.estimates import PolicyResult, result_of
from twofa_lab.analysis.totals import totals_and_values
from twofa_lab.errors import InputError
from twofa_lab.replay.run import Prepared, needed, prepare
from twofa_lab.risk.policy import Policy, input_error
from twofa_lab.sheet import Sheet, money, number, percent
from twofa_lab.tables import Array
from twofa_lab.traffic.world import MemorySource, Shard, World

if TYPE_CHECKING:
    from twofa_lab.widgets.panel import Panel

__all__ = ["Explorer", "Position", "sample_of"]


@dataclass(frozen=True, repr=False)
class Position:
    """A policy and its figures beside those of the policy that was started from; renders itself.
    Intervals are not computed: `compare` has them.
    """

    result: PolicyResult
    start: PolicyResult

    @property
    def policy(self) -> Policy:
        """The policy, ready to be compared or saved."""
        return self.result.policy

    def figures(self) -> dict[str, float]:
        """The headline figures by the names a comparison gives them; NaN where undefined."""
        return _figures(self.result)

    def table(self) -> Sheet:
        """The figures here and at the start."""
        pairs = zip(_words(self.result), _words(self.start), strict=True)
        rows = tuple((name, here, there) for (name, here), (_, there) in pairs)
        changed = self.start.policy.differences(self.policy)
        changed.pop("name", None)
        note = "; ".join(f"{key}: {a} → {b}" for key, (a, b) in changed.items())
        columns = ("", "here", "at the start")
        return Sheet(self.policy.name, columns, rows, note or "The settings are those of the start")

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table().to_html()


class Explorer:
    """The policies around one of the rule scorer's, on a sample of a world's accounts.

    `sample` is a world of its own, in one piece: about `logins` logins of whole accounts, so that
    `compare(explorer.sample, [policy])` is what the explorer shows. `InputError` for a world
    without people, a policy of another scorer, or one that never asks.

    >>> import twofa_lab as lab
    >>> explorer = Explorer(lab.simulate("us-consumer", users=300, days=30, seed=1))
    >>> wide, narrow = explorer.at(threshold=0.3), explorer.at(threshold=0.7)
    >>> wide.figures()["challenge_rate"] > narrow.figures()["challenge_rate"]
    True
    """

    def __init__(self, world: World, policy: Policy | None = None, *, logins: int = 200_000):
        start = policy or Policy.risk_based()
        if start.scorer != "rules" or start.challenge_at is None:
            raise InputError(
                f"policy {start.name} has no weights and threshold to move: take one that goes by "
                "the rules and asks"
            )
        if not world.has_people:
            raise InputError(
                "this log has no potential outcomes: call with_people(scenario, seed) to lend it "
                "some"
            )
        self.sample = sample_of(world, logins)
        self._shard = next(self.sample.shards())
        self._prepared: Prepared = prepare(self._shard, self.sample.facts)
        self.start = self._play(start)
        if not self.start.legitimate:
            raise InputError("no legitimate login counts in this sample: take more users or days")

    def policy_at(
        self,
        *,
        threshold: float | None = None,
        points: Mapping[str, float] | None = None,
        trust_days: float | None = None,
        timeout_seconds: float | None = None,
    ) -> Policy:
        """The policy with some settings moved; what is left out stays as it was at the start.

        `threshold` from 0 to 1; `points` of signals by their names in a policy file; `trust_days`
        0: no trusted devices. `InputError` names what a policy refuses.
        """
        start = self.start.policy
        moved = start.model_dump(mode="json")
        if threshold is not None:
            moved["challenge_at"] = float(threshold)
        if trust_days is not None:
            moved["trust_device_days"] = float(trust_days) or None
        if timeout_seconds is not None:
            moved["fallback"]["timeout_seconds"] = float(timeout_seconds)
        moved["points"] |= points or {}
        try:
            found = Policy.model_validate(moved)
        except (ValidationError, InputError) as error:
            raise input_error("explorer", error) from None
        same = found == start
        return start if same else found.model_copy(update={"name": f"{start.name[:60]}, moved"})

    def at(
        self,
        *,
        threshold: float | None = None,
        points: Mapping[str, float] | None = None,
        trust_days: float | None = None,
        timeout_seconds: float | None = None,
    ) -> Position:
        """Every login of the sample played under `policy_at` the same settings."""
        policy = self.policy_at(
            threshold=threshold, points=points, trust_days=trust_days,
            timeout_seconds=timeout_seconds,
        )  # fmt: skip
        return Position(self._play(policy), self.start)

    @cached_property
    def panel(self) -> Panel:
        """The sliders, made when first asked for."""
        from twofa_lab.widgets.panel import Panel

        return Panel(self)

    def _play(self, policy: Policy) -> PolicyResult:
        users, facts = self._shard.people["user_id"], self.sample.facts
        totals, _ = totals_and_values(self._prepared, users, facts, [policy], 0, 0)
        return result_of(policy, totals[0], facts.costs)

    def __repr__(self) -> str:
        return f"Explorer on {self.sample.facts.logins:,} logins\n{self.panel.position!r}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """The sliders; where no notebook runs, the picture and the figures."""
        shown: dict[str, Any] = self.panel.box._repr_mimebundle_()
        picture = base64.b64encode(self.panel.image.value).decode()
        return shown | {"text/plain": repr(self), "image/png": picture}


def sample_of(world: World, logins: int) -> World:
    """About so many logins of whole accounts, in memory and in one shard: all accounts of a world
    that has no more; else those told by a mixed account number, so that none is preferred.
    """
    if logins < 1:
        raise InputError(f"logins is {logins}: take 1 or more")
    share = min(1.0, logins / max(world.facts.logins, 1))
    columns = (*needed([Policy.risk_based()]), "login_id")
    parts = [_some_accounts(shard, share) for shard in world.shards(columns)]
    if not parts:
        raise InputError("the world holds no accounts")
    starts = np.append(0, np.cumsum(np.concatenate([np.diff(part.starts) for part in parts])))
    shard = Shard(0, _joined([p.logins for p in parts]), _joined([p.people for p in parts]), starts)
    facts = world.facts
    counted = (shard.logins["time"] >= facts.window[0]) & ~shard.logins["signup"]
    told = replace(
        facts,
        users=len(starts) - 1,
        logins=int(counted.sum()),
        attacks=int((counted & (shard.logins["attack"] != 0)).sum()),
        assumptions=(*facts.assumptions, f"A sample of {share:.1%} of the accounts."),
    )
    return World(told, MemorySource((shard,)))


def _some_accounts(shard: Shard, share: float) -> Shard:
    mixed = shard.people["user_id"].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    chosen = mixed >> np.uint64(11) < np.uint64(round(share * 2**53))
    lengths = np.diff(shard.starts)
    rows = np.repeat(chosen, lengths)
    return Shard(
        shard.index,
        {name: column[rows] for name, column in shard.logins.items()},
        {name: column[chosen] for name, column in shard.people.items()},
        np.append(0, np.cumsum(lengths[chosen])),
    )


def _joined(parts: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _figures(r: PolicyResult) -> dict[str, float]:
    return {
        "challenge_rate": r.challenge_rate.value,
        "conversion": r.conversion.value,
        "friction_seconds_median": r.friction[1],
        "takeovers": float(r.takeovers),
        "takeover_rate": r.takeover_rate.value,
        "cost_per_1000_usd": r.cost.total.value,
    }


def _words(r: PolicyResult) -> tuple[tuple[str, str], ...]:
    return (
        ("challenged", percent(r.challenge_rate.value)),
        ("logins lost", percent(1.0 - r.conversion.value)),
        ("median s at a challenge", number(r.friction[1], 1)),
        ("takeovers", f"{r.takeovers:,} of {r.attacks:,}"),
        ("US$ per 1,000", money(r.cost.total.value)),
        ("of it messages", money(r.cost.messages.value)),
        ("of it support", money(r.cost.support.value)),
        ("of it losses", money(r.cost.losses)),
    )
