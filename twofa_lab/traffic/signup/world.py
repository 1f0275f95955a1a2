"""A world of visitors to a sign-up page, and experiments on it whose true effects are known."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.sheet import Sheet, number, percent
from twofa_lab.tables import Array
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.signup.arms import Arm
from twofa_lab.traffic.signup.funnel import play
from twofa_lab.traffic.signup.settings import KINDS, SignupSettings
from twofa_lab.traffic.signup.table import SIGNUPS, SignupTable, vocabularies
from twofa_lab.traffic.signup.visitors import Visitors, draw_visitors, take
from twofa_lab.traffic.streams import Streams

__all__ = ["SignupWorld", "signup_world"]

_SHARD = 32_768  # visitors: part of what a seed gives
_MOST = 20_000_000


@dataclass(frozen=True, repr=False, eq=False)
class SignupWorld:
    """Visitors with all that would happen to them under any arm.

    `shards` are the visitors, a shard an entry. Worlds of the same settings and seed agree to the
    bit in the visitors they share, however many there are and however many workers made them.
    """

    settings: SignupSettings
    scenario: Scenario
    seed: int
    shards: tuple[Visitors, ...]

    @property
    def visitors(self) -> int:
        """How many there are."""
        return sum(len(shard.day) for shard in self.shards)

    def redrawn(
        self,
        seed: int,
        visitors: int | None = None,
        *,
        workers: int | None = None,
        executor: Executor | None = None,
    ) -> SignupWorld:
        """Other visitors of the same settings, by default as many."""
        many = self.visitors if visitors is None else visitors
        if not 1 <= many <= _MOST:
            raise InputError(f"visitors must be from 1 to {_MOST:,}, not {many:,}")
        sizes = [min(_SHARD, many - start) for start in range(0, many, _SHARD)]
        tasks = [
            (draw_visitors, (n, Streams(seed, index), self.settings, self.scenario))
            for index, n in enumerate(sizes)
        ]
        shards = run_shards(tasks, "drawing visitors", executor, workers, progress=False)
        return replace(self, seed=seed, shards=tuple(shards))

    def outcomes(self, arm: Arm, workers: int | None = None) -> SignupTable:
        """What every visitor does if all meet this arm.

        Two of these give the true effect: the difference of a column's means is no estimate.
        """
        return self.experiment({"everyone": arm}, workers=workers)

    def experiment(
        self,
        arms: Mapping[str, Arm],
        shares: Mapping[str, float] | None = None,
        *,
        by: Literal["visitor", "cluster"] = "visitor",
        salt: str = "",
        workers: int | None = None,
        executor: Executor | None = None,
    ) -> SignupTable:
        """Let chance send each visitor (or whole clusters) into an arm, and play.

        `shares` are the arms' planned shares (equal by default); another `salt` makes another
        assignment of the same visitors.
        """
        planned = _shares(arms, shares)
        if by not in ("visitor", "cluster"):
            raise InputError(f"by must be visitor or cluster, not {by!r}")
        for arm in arms.values():
            arm.check_followed(self.settings.followed_days)
        edges = np.cumsum([*planned.values()])[:-1]
        tasks = [
            (self._play, (i, [*arms.values()], edges, by, salt)) for i in range(len(self.shards))
        ]
        parts = run_shards(tasks, "playing arms", executor, workers, progress=False)
        codes = {
            column.name: np.concatenate([part[column.name] for part in parts])
            for column in SIGNUPS.columns
        }
        SIGNUPS.check(codes)
        words = vocabularies([*arms], [*self.settings.visitors.channels])
        return SignupTable(self.settings.title, codes, words, planned)

    def _play(
        self, index: int, arms: list[Arm], edges: Array, by: str, salt: str
    ) -> dict[str, Array]:
        shard = self.shards[index]
        uniform = Streams(self.seed, index).named(f"assignment {salt}").uniform(by, len(shard.day))
        if by == "cluster":
            uniform = uniform[shard.cluster]
        arm = np.searchsorted(edges, uniform, side="right").astype(np.int8)
        known = {name: getattr(shard, name) for name in _KNOWN}
        found = {"arm": arm, **known, "cluster": shard.cluster + np.int64(index) * _SHARD}
        for code, policy in enumerate(arms):
            rows = np.flatnonzero(arm == code)
            some = shard if len(rows) == len(arm) else take(shard, rows)
            seen = play(some, policy, self.settings, self.scenario)
            for name, values in seen.items():
                found.setdefault(name, np.empty(len(arm), values.dtype))[rows] = values
        return found

    def sheet(self) -> Sheet:
        """Who comes."""
        kind = np.concatenate([shard.kind for shard in self.shards])
        flagged = np.concatenate([shard.flagged for shard in self.shards])
        rows = tuple(
            (
                name,
                number(int((kind == code).sum())),
                percent(float((kind == code).mean()), 1),
                percent(float(flagged[kind == code].mean()), 1) if (kind == code).any() else "n/a",
            )
            for code, name in enumerate(KINDS)
        )
        note = (
            f"Simulated, seed {self.seed}: {self.settings.days} days of arrivals, each visitor "
            f"followed for {self.settings.followed_days} days."
        )
        return Sheet(
            self.settings.title, ("kind", "visitors", "share", "flagged on landing"), rows, note
        )

    def __repr__(self) -> str:
        return str(self.sheet())

    def _repr_html_(self) -> str:
        return self.sheet().to_html()


_KNOWN = ("day", "device", "channel", "country", "earlier_visits", "flagged", "kind")


def signup_world(
    settings: str | Path | SignupSettings = "us-consumer",
    *,
    visitors: int = 200_000,
    seed: int = 1,
    workers: int | None = None,
    executor: Executor | None = None,
) -> SignupWorld:
    """Draw the visitors of a sign-up page: settings by name, from a YAML file, or as a value.

    >>> world = signup_world(visitors=2_000, seed=7)
    >>> phone = world.outcomes(Arm.phone_only())
    >>> forced = world.outcomes(Arm.forced("totp"))
    >>> bool(forced["signed_up"].mean() < phone["signed_up"].mean())
    True
    """
    if not isinstance(settings, SignupSettings):
        settings = SignupSettings.load(settings)
    nobody = SignupWorld(settings, Scenario.load(settings.scenario), seed, ())
    return nobody.redrawn(seed, visitors, workers=workers, executor=executor)


def _shares(arms: Mapping[str, Arm], shares: Mapping[str, float] | None) -> dict[str, float]:
    if not 1 <= len(arms) <= 100:
        raise InputError("an experiment needs between one and a hundred arms")
    if shares is None:
        return {name: 1.0 / len(arms) for name in arms}
    if set(shares) != set(arms):
        raise InputError(f"shares are needed for each of {', '.join(arms)}, and no others")
    found = {name: float(shares[name]) for name in arms}
    if (
        not all(0.0 < share <= 1.0 for share in found.values())
        or abs(sum(found.values()) - 1) > 1e-9
    ):
        raise InputError("shares must be above 0 and sum to 1")
    return found
